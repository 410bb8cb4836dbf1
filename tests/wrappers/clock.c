/* As libraries do that fake the time, or replay a run. */
#include "wrappers/wrap.h"

#include <sched.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

WRAP(int, clock_gettime, (clockid_t clock, struct timespec *now), (clock, now))
WRAP(int, clock_nanosleep, (clockid_t clock, int flags, const struct timespec *until, struct timespec *left),
     (clock, flags, until, left))
WRAP(int, nanosleep, (const struct timespec *span, struct timespec *left), (span, left))
WRAP(int, usleep, (useconds_t span), (span))
WRAP(time_t, time, (time_t *now), (now))
WRAP(int, sched_yield, (void), ())
WRAP(pid_t, getpid, (void), ())
WRAP(long, sysconf, (int name), (name))
