export default {
  files: ['test/**/*.test.ts', '!test/cluster/**', '!test/bench/**'],
  extensions: ['ts'],
  workerThreads: false,
  // Kernel tests judge silence by time-outs: two at once on two cores would make each other late.
  concurrency: 1,
  timeout: '10m',
};
