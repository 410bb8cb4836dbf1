/*
 * A handler for SIGSEGV, which the program did not ask for. So it is installed only if nobody
 * else has one, and afterwards the signal does what it does by default: for a fault, the handler
 * sets the default action and returns, so that the instruction faults again. A core dump then
 * has the registers, the address and the code of the fault itself. A signal that a process has
 * sent would not come again, so it is sent again with the same information.
 *
 * If the program installs a handler later, it replaces this one.
 */
#include "os/fault.h"

#include "os/os.h"
#include "os/syscall.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <ucontext.h>

static void (*found)(const struct hk_fault *fault);

/* The context of an interrupted instruction, on machines whose layout is known. */
#if defined(__x86_64__)
static void read_context(const ucontext_t *context, struct hk_fault *fault)
{
	fault->code = (uintptr_t)context->uc_mcontext.gregs[REG_RIP];
	fault->access = context->uc_mcontext.gregs[REG_ERR] & 2 ? HK_ACCESS_WRITE : HK_ACCESS_READ;
}
#elif defined(__i386__)
static void read_context(const ucontext_t *context, struct hk_fault *fault)
{
	fault->code = (uintptr_t)context->uc_mcontext.gregs[REG_EIP];
	fault->access = context->uc_mcontext.gregs[REG_ERR] & 2 ? HK_ACCESS_WRITE : HK_ACCESS_READ;
}
#elif defined(__aarch64__)
/* Each record of a signal frame begins with a magic number and a size. A bit in the record of the
 * exception syndrome says whether the access was a write. */
static void read_context(const ucontext_t *context, struct hk_fault *fault)
{
	const size_t room = sizeof context->uc_mcontext.__reserved;
	const unsigned char *records = context->uc_mcontext.__reserved;
	const uint32_t syndrome_magic = 0x45535201;
	struct { uint32_t magic, size; uint64_t syndrome; } record;
	size_t at;

	fault->code = context->uc_mcontext.pc;
	for (at = 0; at + sizeof record <= room; at += record.size) {
		memcpy(&record, records + at, sizeof record);
		if (record.magic == syndrome_magic)
			fault->access = record.syndrome & 0x40 ? HK_ACCESS_WRITE : HK_ACCESS_READ;
		if (!record.magic || record.size < 8)
			break;
	}
}
#elif defined(__arm__)
static void read_context(const ucontext_t *context, struct hk_fault *fault)
{
	fault->code = context->uc_mcontext.arm_pc;
	fault->access = context->uc_mcontext.error_code & 0x800 ? HK_ACCESS_WRITE : HK_ACCESS_READ;
}
#elif defined(__riscv) && defined(REG_PC)
static void read_context(const ucontext_t *context, struct hk_fault *fault)
{
	fault->code = context->uc_mcontext.__gregs[REG_PC];
}
#else
static void read_context(const ucontext_t *context, struct hk_fault *fault)
{
	(void)context;
	(void)fault;
}
#endif

/* Bytes left of a signal stack if this thread is on one, otherwise SIZE_MAX. */
static size_t stack_left(const ucontext_t *context)
{
	uintptr_t here = (uintptr_t)__builtin_frame_address(0);
	uintptr_t from = (uintptr_t)context->uc_stack.ss_sp;

	return here - from < context->uc_stack.ss_size ? here - from : SIZE_MAX;
}

static void set_default(int number)
{
	struct sigaction action;

	memset(&action, 0, sizeof action);
	action.sa_handler = SIG_DFL;
	sigaction(number, &action, NULL);
}

static void handle(int number, siginfo_t *info, void *context)
{
	struct hk_fault fault = { .address = (uintptr_t)info->si_addr, .stack = stack_left(context) };
	int saved = errno;

	if (info->si_code == SEGV_ACCERR || info->si_code == SEGV_MAPERR) {
		read_context(context, &fault);
		found(&fault);
	}
	set_default(number);
	if (info->si_code <= 0)
		HK_SYS(rt_tgsigqueueinfo, hk_os_process_id(), hk_os_thread_id(), number, info, 0);
	errno = saved;
}

void hk_os_watch_faults(void (*call)(const struct hk_fault *fault))
{
	struct sigaction action, before;
	int saved = errno;

	memset(&action, 0, sizeof action);
	action.sa_sigaction = handle;
	action.sa_flags = SA_SIGINFO | SA_ONSTACK;
	found = call;
	if (sigaction(SIGSEGV, NULL, &before) == 0 && !(before.sa_flags & SA_SIGINFO) && before.sa_handler == SIG_DFL)
		sigaction(SIGSEGV, &action, NULL);
	errno = saved;
}
