/** Who the agent is to the API server, and how it knows the server. What stands here may change at any time (rotation). */

/** As `tls.connect` takes it. */
export interface TlsMaterial {
  readonly ca?: string | Buffer;
  readonly cert?: string | Buffer;
  readonly key?: string | Buffer;
  readonly pfx?: string | Buffer;
  readonly passphrase?: string;
  readonly rejectUnauthorized?: boolean;
  readonly servername?: string;
}

export interface Grant {
  /** For every request: never to be logged. */
  readonly headers: Readonly<Record<string, string>>;
  readonly tls: TlsMaterial;
}

export interface Credentials {
  /** Base of the API server's address, such as `https://10.96.0.1:443`. */
  readonly server: string;
  /** As they are now. Asked for before each request, so answers come from memory as a rule. Rejects when there are none. */
  grant(): Promise<Grant>;
  /** The server did not accept what `grant` gave: it is to be read anew. */
  rejected(): void;
}
