/* The first process of a pod: holds its namespaces and reaps what is orphaned, until it is told to end. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void reap(int signal) {
  (void)signal;
  while (waitpid(-1, 0, WNOHANG) > 0) continue;
}

int main(void) {
  signal(SIGINT, _exit);
  signal(SIGTERM, _exit);
  signal(SIGCHLD, reap);
  for (;;) pause();
}
