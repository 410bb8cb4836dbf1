/* What a library learns of threads by, their signals and their ends. */
#include "wrappers/wrap.h"

#include <pthread.h>
#include <signal.h>

WRAP(int, pthread_create, (pthread_t *id, const pthread_attr_t *attributes, void *(*body)(void *), void *argument),
     (id, attributes, body, argument))
WRAP(int, pthread_key_create, (pthread_key_t *key, void (*end)(void *)), (key, end))
WRAP(int, pthread_setspecific, (pthread_key_t key, const void *value), (key, value))
WRAP(void *, pthread_getspecific, (pthread_key_t key), (key))
WRAP(pthread_t, pthread_self, (void), ())
WRAP(int, pthread_setcancelstate, (int state, int *before), (state, before))
WRAP(int, pthread_sigmask, (int how, const sigset_t *set, sigset_t *before), (how, set, before))
WRAP(int, sigprocmask, (int how, const sigset_t *set, sigset_t *before), (how, set, before))
WRAP(int, sigpending, (sigset_t *set), (set))
/* glibc has pthread_atfork in each program: this is what it calls. */
#ifdef __GLIBC__
int __register_atfork(void (*)(void), void (*)(void), void (*)(void), void *);
WRAP(int, __register_atfork, (void (*prepare)(void), void (*parent)(void), void (*child)(void), void *dso),
     (prepare, parent, child, dso))
#endif
