/*
 * The memory limit of the process, which is read at the start, and again by the scavenger,
 * because limits change while processes run. Threads of the program do not read it: they may
 * have entered a sandbox that ends the process for opening a file. The names of the groups are
 * read once, because the kernel may hold a lock for long while it makes groups.
 */
#include "os/limit.h"
#include "os/os.h"

#include <errno.h>

/* ms between two looks. */
enum { FOLLOW_MS = 1000 };

_Atomic size_t hk_os_memory_limit = SIZE_MAX;

char hk_own_groups[HK_GROUPS_TEXT] HK_BEHIND;
static uint64_t looked;			/* ms; the last time */
static bool follows;

static void take_limit(const struct hk_groups_look *look)
{
	atomic_store_explicit(&hk_os_memory_limit, look->least < SIZE_MAX ? (size_t)look->least : SIZE_MAX,
			      memory_order_relaxed);
}

void hk_os_read_limit(void)
{
	struct hk_groups_look look;

	hk_groups_read("", hk_own_groups);
	look = hk_groups_look("", hk_own_groups);
	take_limit(&look);
	looked = hk_os_now();
	follows = look.files != 0;
}

/* Without any file the limit is unknown: the process may have changed its root directory. An
 * error that is not temporary would occur again each second. */
static void look_again(void)
{
	struct hk_groups_look look = hk_groups_look("", hk_own_groups);

	if (look.files && !look.error)
		take_limit(&look);
	else if (look.error != -EMFILE && look.error != -ENFILE && look.error != -ENOMEM && look.error != -EINTR)
		follows = false;
}

void hk_os_follow_limit(uint64_t now)
{
	if (!follows || !hk_elapsed(now, looked, FOLLOW_MS))
		return;
	looked = now;
	look_again();
}
