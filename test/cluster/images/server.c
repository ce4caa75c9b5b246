/*
 * A server for pods: tells each client who it is, over TCP and over UDP.
 *
 *     server [TCP_PORT [UDP_PORT]]      8080 and 7777 without them
 *
 * A request over HTTP (connections stay open) or a datagram of any content is answered with
 *     pod=<host name> peer=<the client's address>
 * Its log is its environment, a variable a line. Told to end it does so at once; with LINGER in its environment it takes no new
 * connection from then on, serves those that are open, and ends with the last of them.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static char name[256];
static int tcp, udp;

static void linger(int signal) {
  (void)signal;
  close(tcp);
  close(udp);
  while (wait(NULL) > 0) continue;
  _exit(0);
}

static int listen_on(int type, int port) {
  struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = in6addr_any};
  int one = 1, zero = 0, s = socket(AF_INET6, type, 0);
  setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  setsockopt(s, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero);
  if (s < 0 || bind(s, (struct sockaddr *)&address, sizeof address) < 0 || (type == SOCK_STREAM && listen(s, 1024) < 0)) {
    perror("server");
    exit(1);
  }
  return s;
}

static int answer(char *to, size_t size, const struct sockaddr_in6 *peer) {
  char text[INET6_ADDRSTRLEN];
  inet_ntop(AF_INET6, &peer->sin6_addr, text, sizeof text);
  return snprintf(to, size, "pod=%s peer=%s\n", name, strncmp(text, "::ffff:", 7) == 0 ? text + 7 : text);
}

static void serve(int connection, const struct sockaddr_in6 *peer) {
  char in[4096], body[512], out[1024];
  size_t have = 0;
  for (;;) {
    ssize_t n = read(connection, in + have, sizeof in - 1 - have);
    if (n <= 0) return;
    have += n;
    in[have] = 0;
    if (strstr(in, "\r\n\r\n") == NULL) continue;
    have = 0;
    int length = answer(body, sizeof body, peer);
    length = snprintf(out, sizeof out, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", length, body);
    if (write(connection, out, length) < 0) return;
  }
}

int main(int argc, char **argv) {
  tcp = listen_on(SOCK_STREAM, argc > 1 ? atoi(argv[1]) : 8080);
  udp = listen_on(SOCK_DGRAM, argc > 2 ? atoi(argv[2]) : 7777);
  struct pollfd sockets[] = {{tcp, POLLIN, 0}, {udp, POLLIN, 0}};
  for (char **variable = environ; *variable != NULL; variable++) puts(*variable);
  fflush(stdout);
  gethostname(name, sizeof name - 1);
  signal(SIGCHLD, SIG_IGN);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGTERM, getenv("LINGER") ? linger : _exit); /* the first process of a container has no default action */
  while (poll(sockets, 2, -1) > 0) {
    struct sockaddr_in6 peer;
    socklen_t size = sizeof peer;
    if (sockets[0].revents) {
      int connection = accept(tcp, (struct sockaddr *)&peer, &size);
      if (connection >= 0 && fork() == 0) {
        close(tcp);
        close(udp);
        serve(connection, &peer);
        _exit(0);
      }
      close(connection);
    } else {
      char in[2048], out[512];
      if (recvfrom(udp, in, sizeof in, 0, (struct sockaddr *)&peer, &size) >= 0)
        sendto(udp, out, answer(out, sizeof out, &peer), 0, (struct sockaddr *)&peer, size);
    }
  }
  return 1;
}
