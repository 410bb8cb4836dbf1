// The only part that cannot be written in C: a new-handler may throw, but the nothrow forms
// of operator new must not. The functions of the C++ library that this needs are weak
// references, as in cxx.c: without that library there is no handler either.
#include "config.h"

#ifndef HK_PREFIXED

typedef __SIZE_TYPE__ size_type;

extern "C" {
void *hk_new_retry(size_type size, size_type align, unsigned form);
void *hk_new_nothrow(size_type size, size_type align, unsigned form) noexcept;
void *hk_new_quietly(size_type size, void *(*take)(size_type)) noexcept;
void *hk_new_quietly_aligned(size_type size, size_type align, void *(*take)(size_type, size_type)) noexcept;
}

// ARM's assembler rejects .weak for a personality routine that was not mentioned before. This
// section mentions it; the linker discards the section.
__asm__(".weak __gxx_personality_v0\n"
	".pushsection .hakmem_mentions, \"e\", %progbits\n"
	".dc.a __gxx_personality_v0\n"
	".popsection\n"
	".weak __cxa_begin_catch\n"
	".weak __cxa_end_catch\n"
	".weak _ZSt9terminatev\n");

template <class... A> static inline void *quietly(void *(*take)(A...), A... arguments)
{
	try {
		return take(arguments...);
	} catch (...) {
		return nullptr;
	}
}

void *hk_new_nothrow(size_type size, size_type align, unsigned form) noexcept
{
	return quietly(hk_new_retry, size, align, form);
}

void *hk_new_quietly(size_type size, void *(*take)(size_type)) noexcept
{
	return quietly(take, size);
}

void *hk_new_quietly_aligned(size_type size, size_type align, void *(*take)(size_type, size_type)) noexcept
{
	return quietly(take, size, align);
}

#endif
