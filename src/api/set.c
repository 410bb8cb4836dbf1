/*
 * Settings that change in a running process: by a request in the control block, which another
 * process has written, or by hak_set. Nothing here is called with a lock held or inside the heap.
 * It may be called in a signal handler and in any slow path, so it calls nothing of libc that takes
 * a lock.
 */
#include "api/alloc.h"
#include "cache/cache.h"
#include "config/control.h"
#include "config/settings.h"
#include "learn/learn.h"
#include "os/os.h"
#include "range/decay.h"
#include "sample/sample.h"

#include <hakmem/hakmem.h>

#include <errno.h>

struct hk_control hk_control = {
	.magic = HK_CONTROL_MAGIC,
	.version = HK_CONTROL_VERSION,
	.size = sizeof hk_control,
};

static bool is_trim(const struct hk_change *change)
{
	return !strcmp(change->name, HK_CONTROL_TRIM);
}

static enum hk_verdict parse(enum hk_setting_id id, const char *text, uint64_t *value)
{
	if (!hk_setting_table[id].live)
		return HK_FIXED;
	return hk_value_parse(id, text, value) ? HK_CHANGED : HK_BAD_VALUE;
}

static enum hk_verdict check(const struct hk_change *change)
{
	enum hk_setting_id id = hk_setting_named(change->name);
	uint64_t value = 0;

	if (is_trim(change))
		return *change->value ? HK_BAD_VALUE : HK_CHANGED;
	return id == HK_SET_COUNT ? HK_NO_SETTING : parse(id, change->value, &value);
}

static enum hk_verdict set_sample(uint64_t mean)
{
	if (mean)
		hk_os_unwinder_start();
	if (!hk_sample_set((size_t)mean))
		return HK_NO_ROOM;
	hk_lists_lead();
	return HK_CHANGED;
}

/* Before the value is stored. With any other result than HK_CHANGED, nothing has changed. */
static enum hk_verdict apply(enum hk_setting_id id, uint64_t value)
{
	switch (id) {
	case HK_SET_SAMPLE:
		return set_sample(value);
	case HK_SET_LIMIT:
		hk_limit_set(value < SIZE_MAX ? (size_t)value : 0);
		return HK_CHANGED;
	case HK_SET_MEM_LEARN_DELAY:
		atomic_store_explicit(&hk_purge_delay, (size_t)value, memory_order_relaxed);
		return HK_CHANGED;
	default:
		return HK_CHANGED;
	}
}

/* After the value is stored. */
static void follow(enum hk_setting_id id)
{
	switch (id) {
	case HK_SET_SCAVENGER:
		hk_scavenger_follow();
		return;
	case HK_SET_ALLOC_LEARN:
	case HK_SET_ALLOC_LEARN_WINDOW:
	case HK_SET_MEM_LEARN:
	case HK_SET_MEM_LEARN_WINDOW:
	case HK_SET_MEM_LEARN_THRESHOLD:
		hk_learn_follow(id);
		return;
	default:
		return;
	}
}

static enum hk_verdict set_value(enum hk_setting_id id, uint64_t value)
{
	enum hk_verdict verdict = apply(id, value);

	if (verdict != HK_CHANGED)
		return verdict;
	hk_value_change(id, value, HK_FROM_CHANGE);
	follow(id);
	return HK_CHANGED;
}

static void keep(char *names, enum hk_setting_id id)
{
	const char *name = hk_setting_table[id].name + sizeof "HAKMEM_" - 1;
	size_t length = strlen(names), more = strlen(name);

	if (length + 1 + more >= HK_CONTROL_NAMES)
		return;
	names[length] = ' ';
	memcpy(names + length + 1, name, more + 1);
}

/* No setting of a profile needs memory, so none is refused. */
static void set_of_profile(enum hk_setting_id id, unsigned profile, struct hk_kept *kept)
{
	const char *text = hk_profile_table[profile].value[id];
	uint64_t value = 0;

	if (!hk_value_parse(id, text ? text : hk_setting_table[id].initial, &value) || value == hk_value_now(id))
		return;
	if (!hk_setting_table[id].live)
		keep(kept->fixed, id);
	else if (hk_settings.given[id])
		keep(kept->given, id);
	else
		set_value(id, value);
}

static void set_profile(unsigned profile, struct hk_kept *kept)
{
	unsigned id;

	for (id = 0; id < HK_SET_COUNT; id++)
		if (hk_setting_profiled((enum hk_setting_id)id))
			set_of_profile((enum hk_setting_id)id, profile, kept);
}

static enum hk_verdict set(enum hk_setting_id id, const char *text, struct hk_kept *kept)
{
	uint64_t value = 0;
	enum hk_verdict verdict = parse(id, text, &value);

	if (verdict != HK_CHANGED)
		return verdict;
	if (id == HK_SET_PROFILE)
		set_profile((unsigned)value, kept);
	return set_value(id, value);
}

static enum hk_verdict make(const struct hk_change *change, uint64_t *released, struct hk_kept *kept)
{
	if (!is_trim(change))
		return set(hk_setting_named(change->name), change->value, kept);
	*released += hk_reclaim(HK_FOR_TRIM);
	return HK_CHANGED;
}

/* Stops at the first change that is refused; *n is the number of changes before it. */
static enum hk_verdict make_all(const struct hk_request *r, uint32_t *n, uint64_t *released, struct hk_kept *kept)
{
	enum hk_verdict verdict = HK_CHANGED;

	for (*n = 0; *n < r->count; ++*n)
		if ((verdict = check(&r->change[*n])) != HK_CHANGED)
			return verdict;
	for (*n = 0; *n < r->count; ++*n)
		if ((verdict = make(&r->change[*n], released, kept)) != HK_CHANGED)
			return verdict;
	return verdict;
}

static void carry_out(void)
{
	struct hk_request r;
	enum hk_verdict verdict = hk_control_read(&r);
	struct hk_kept kept = { { 0 }, { 0 } };
	uint64_t released = 0;
	uint32_t n = 0;

	if (verdict == HK_CHANGED)
		verdict = make_all(&r, &n, &released, &kept);
	hk_control_answer(r.asked, verdict == HK_CHANGED ? 0 : n + 1, verdict, released, hk_os_unwinds(), &kept);
}

/* Does nothing in a fork handler of the program if all locks are held there. */
static void asked(void)
{
	int saved = errno;

	if (hk_forks.all_locked || hk_inside() || !hk_control_begin())
		return;
	if (hk_control_waits())
		carry_out();
	hk_control_end();
	errno = saved;
}

/* False: another thread is in fork or is making changes, or a signal handler has interrupted this
 * thread while it was making them. */
static bool succeeds_soon(bool (*attempt)(void))
{
	static _Atomic uint32_t never;
	uint64_t then = hk_os_now();

	/* An attempt may itself wait for a lock. */
	while (!attempt()) {
		if (hk_elapsed(hk_os_now(), then, HK_CHANGE_WAIT_MS))
			return false;
		hk_os_wait(&never, 0, 1);
	}
	return true;
}

static int error_of(enum hk_verdict verdict)
{
	switch (verdict) {
	case HK_CHANGED:
		return 0;
	case HK_FIXED:
		return EPERM;
	case HK_NO_ROOM:
		return ENOMEM;
	default:
		return EINVAL;
	}
}

HK_API int hak_set(const char *name, const char *value)
{
	unsigned id = hk_find_setting(name);
	struct hk_kept kept = { { 0 }, { 0 } };
	int error;

	if (id == HK_SET_COUNT)
		return -1;
	/* In the child of a fork that ran no handlers, the parent's scavenger, or its thread that
	 * makes changes, would otherwise be waited for. */
	if (hk_forks.all_locked || hk_inside() || !succeeds_soon(hk_get_ready) || !succeeds_soon(hk_control_begin)) {
		errno = EBUSY;
		return -1;
	}
	error = error_of(set((enum hk_setting_id)id, value, &kept));
	hk_control_end();
	if (id == HK_SET_SCAVENGER || id == HK_SET_PROFILE)
		hk_scavenger_settle();
	if (!error)
		return 0;
	errno = error;
	return -1;
}

HK_API int hak_setting_changed(const char *name)
{
	unsigned id = hk_find_setting(name);

	if (id == HK_SET_COUNT)
		return -1;
	return hk_settings.source[id] == HK_FROM_CHANGE;
}

__attribute__((constructor(101))) static void start_changes(void)
{
	hk_hooks.asked = asked;
}
