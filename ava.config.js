export default {
  files: ['test/**/*.test.ts', '!test/cluster/**', '!test/bench/**'],
  extensions: ['ts'],
  workerThreads: false,
  timeout: '10m',
};
