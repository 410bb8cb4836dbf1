#include "os/lock.h"

#ifdef HK_DEBUG
HK_TLS unsigned hk_ranks_held;
#endif
