/* As profilers of locks and checkers of races do. */
#include "wrappers/wrap.h"

#include <pthread.h>

WRAP(int, pthread_mutex_lock, (pthread_mutex_t *mutex), (mutex))
WRAP(int, pthread_mutex_trylock, (pthread_mutex_t *mutex), (mutex))
WRAP(int, pthread_mutex_unlock, (pthread_mutex_t *mutex), (mutex))
WRAP(int, pthread_rwlock_rdlock, (pthread_rwlock_t *lock), (lock))
WRAP(int, pthread_rwlock_wrlock, (pthread_rwlock_t *lock), (lock))
WRAP(int, pthread_rwlock_unlock, (pthread_rwlock_t *lock), (lock))
WRAP(int, pthread_spin_lock, (pthread_spinlock_t *lock), (lock))
WRAP(int, pthread_once, (pthread_once_t *once, void (*body)(void)), (once, body))
