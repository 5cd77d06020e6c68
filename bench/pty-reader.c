/* The physical limit for bench/pty.ts: a program on a PTY and the plainest reader of it. `throughput CMD` prints bytes and seconds;
   `echo N` prints the median round trip of N single bytes through a raw `cat`, in microseconds. */
#define _GNU_SOURCE
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static int by_value(const void *a, const void *b) {
  double d = *(const double *)a - *(const double *)b;
  return d < 0 ? -1 : d > 0;
}

static int start(const char *command) {
  int master;
  pid_t pid = forkpty(&master, NULL, NULL, NULL);
  if (pid == 0) {
    execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    _exit(127);
  }
  return master;
}

int main(int argc, char **argv) {
  static char buffer[65536];
  if (argc < 3) return 2;
  if (strcmp(argv[1], "throughput") == 0) {
    double begun = now();
    int master = start(argv[2]);
    long long total = 0;
    for (ssize_t n; (n = read(master, buffer, sizeof buffer)) > 0;) total += n;
    printf("%lld %f\n", total, now() - begun);
    return 0;
  }
  int count = atoi(argv[2]), master = start("stty raw -echo; printf R; exec cat");
  double *times = malloc(sizeof *times * (size_t)count);
  if (read(master, buffer, 1) != 1) return 1;
  for (int i = 0; i < count; i++) {
    double begun = now();
    if (write(master, "x", 1) != 1 || read(master, buffer, 1) != 1) return 1;
    times[i] = now() - begun;
    usleep(1000);
  }
  qsort(times, (size_t)count, sizeof *times, by_value);
  printf("%f %f\n", times[count / 2] * 1e6, times[count * 99 / 100] * 1e6);
  return 0;
}
