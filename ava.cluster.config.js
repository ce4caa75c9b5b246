export default {
  files: ['test/cluster/*.test.ts'],
  extensions: ['ts'],
  workerThreads: false,
  // There is one cluster.
  concurrency: 1,
  serial: true,
  timeout: '10m',
};
