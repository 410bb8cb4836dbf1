#include "os/lock.h"

HK_TLS bool hk_all_locked;

#ifdef HK_DEBUG
HK_TLS unsigned hk_ranks_held;
#endif
