// The one thing that C cannot do: a new-handler may throw, and the nothrow
// forms of operator new must not. What this needs of the C++ library is weak,
// as in cxx.c: where there is no library there is no handler either.
#include "config.h"

#ifndef HK_PREFIXED

extern "C" {
void *hk_new_retry(__SIZE_TYPE__ size, __SIZE_TYPE__ align);
void *hk_new_nothrow(__SIZE_TYPE__ size, __SIZE_TYPE__ align) noexcept;
}

// The empty relocation: ARM's assembler takes no .weak for a personality that
// nothing has mentioned before.
__asm__(".weak __gxx_personality_v0\n"
	".reloc ., BFD_RELOC_NONE, __gxx_personality_v0\n"
	".weak __cxa_begin_catch\n"
	".weak __cxa_end_catch\n"
	".weak _ZSt9terminatev\n");

void *hk_new_nothrow(__SIZE_TYPE__ size, __SIZE_TYPE__ align) noexcept
{
	try {
		return hk_new_retry(size, align);
	} catch (...) {
		return nullptr;
	}
}

#endif
