/*
 * Memory pressure: the share of time in which processes wait for memory that the kernel must
 * reclaim first (PSI; see Documentation/accounting/psi.rst of Linux). The background thread
 * reads it while it is awake anyway. Two variables of systemd name the file and the threshold (see
 * MEMORY_PRESSURE in systemd's documentation):
 *
 *	MEMORY_PRESSURE_WATCH	the file; /dev/null: none
 *	MEMORY_PRESSURE_WRITE	in Base64 "some 200000 2000000": processes waited for 200000
 *				of 2000000 us; "full": all processes at once
 *
 * Without the first variable it is the file of the process's own control group. That is also
 * read if the variable names a FIFO or a socket: what is sent there is for the program. The
 * pressure of the whole machine is read only if the variable names it, because perhaps only
 * another group has too little memory.
 */
#include "os/limit.h"
#include "os/os.h"

#include <errno.h>
#include <string.h>

enum {
	LOOK_MS = 1000,		/* between two looks */
	HOLD_MS = 10000,	/* pressure ends if none was found for this time */
	UPDATE_US = 2000000,	/* the kernel updates the figures in such a period */
	WINDOW_MOST_US = 10000000,
	DIGITS_MOST = 15,
};

_Atomic bool hk_os_pressed;

static const char in_groups[] = "/sys/fs/cgroup/", of_machine[] = "/proc/pressure/memory", file_name[] = "/memory.pressure";
static char path[HK_GROUP_PATH] HK_BEHIND;	/* "": none */
static bool given;			/* path is that of the variable */
static bool all_wait;			/* the trigger is "full" */
static uint64_t threshold = 200000, window = 2000000;	/* us */

/* ms; 0: never. The last look, the last one that found pressure, and the last one that was a
 * reason to release memory. */
static uint64_t looked, found, released;
static uint64_t waited;			/* us, in total, at the last look */

static const char *variable(const char *name)
{
	char **at = hk_os_environment();
	size_t length = strlen(name);

	for (; at && *at; at++)
		if (strncmp(*at, name, length) == 0 && (*at)[length] == '=')
			return *at + length + 1;
	return "";
}

/* Reads digits, and moves *at past them. UINT64_MAX: there are too many. */
static uint64_t number(const char **at)
{
	uint64_t value = 0;
	unsigned digits = 0;

	for (; **at >= '0' && **at <= '9'; ++*at)
		if (++digits <= DIGITS_MOST)
			value = value * 10 + (uint64_t)(**at - '0');
	return digits && digits <= DIGITS_MOST ? value : UINT64_MAX;
}

static unsigned base64_value(char c)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (unsigned)(at - digits) : 64;
}

/* Decodes Base64 up to the first other character, and no more than fits. */
static void decode(const char *from, char *text, size_t size)
{
	unsigned bits = 0, have = 0, value;
	size_t n = 0;

	for (; (value = base64_value(*from)) < 64 && n + 1 < size; from++) {
		bits = bits << 6 | value;
		have += 6;
		if (have >= 8) {
			have -= 8;
			text[n++] = (char)(bits >> have);
		}
	}
	text[n] = 0;
}

/* If the text is not a trigger, the default remains. */
static void take_trigger(const char *encoded)
{
	char text[64];
	const char *at = text + 5;
	uint64_t share, of;

	decode(encoded, text, sizeof text);
	if (strncmp(text, "some ", 5) != 0 && strncmp(text, "full ", 5) != 0)
		return;
	share = number(&at);
	if (*at++ != ' ')
		return;
	of = number(&at);
	if (!share || share > of || of > WINDOW_MOST_US)
		return;
	all_wait = *text == 'f';
	threshold = share;
	window = of;
}

static bool ends_with(const char *text, const char *end)
{
	size_t length = strlen(text), n = strlen(end);

	return length >= n && strcmp(text + length - n, end) == 0;
}

/* Only files of the kernel are read: to open or read others may take long or have side effects. */
static bool is_of_kernel(const char *name)
{
	return strcmp(name, of_machine) == 0 ||
	       (strncmp(name, in_groups, sizeof in_groups - 1) == 0 && !strstr(name, "/..") &&
		ends_with(name, file_name) && strlen(name) < sizeof path);
}

static void use_own_group(void)
{
	given = false;
	if (!hk_groups_path(hk_own_groups, file_name, path))
		*path = 0;
}

void hk_os_pressure_start(void)
{
	const char *watch = hk_os_secure() ? "" : variable("MEMORY_PRESSURE_WATCH");

	*path = 0;
	if (strcmp(watch, "/dev/null") == 0)
		return;
	if (!hk_os_secure())
		take_trigger(variable("MEMORY_PRESSURE_WRITE"));
	use_own_group();
	if (is_of_kernel(watch)) {
		memcpy(path, watch, strlen(watch) + 1);
		given = true;
	}
}

/* What follows the name in the line that counts, such as "1.23 avg60=..."; NULL: not there. */
static const char *field(const char *text, const char *name)
{
	const char *line = strstr(text, all_wait ? "full " : "some ");

	line = line ? strstr(line, name) : NULL;
	return line ? line + strlen(name) : NULL;
}

/* The share of the last ten seconds in hundredths of a percent. */
static uint64_t recent_share(const char *text)
{
	const char *at = field(text, " avg10=");
	uint64_t whole = at ? number(&at) : 0;

	if (!at || whole > 100 || *at != '.' || at[1] < '0' || at[1] > '9' || at[2] < '0' || at[2] > '9')
		return 0;
	return whole * 100 + (uint64_t)(at[1] - '0') * 10 + (uint64_t)(at[2] - '0');
}

/* Did processes wait too long since the last look? No if that was long ago. */
static bool waited_since(const char *text, uint64_t now)
{
	const char *at = field(text, " total=");
	uint64_t total = at ? number(&at) : UINT64_MAX, before = waited, period = (now - looked) * 1000;

	if (total == UINT64_MAX)
		return false;
	waited = total;
	if (!looked || total <= before || total - before > UINT64_MAX / WINDOW_MOST_US || hk_elapsed(now, looked, HOLD_MS))
		return false;
	return (total - before) * window >= threshold * (period > UPDATE_US ? period : UPDATE_US);
}

/* An error that is not temporary would occur again each second. */
static bool is_temporary(long error)
{
	return error == -EMFILE || error == -ENFILE || error == -ENOMEM || error == -EINTR;
}

/* False: no file can be read now. */
static bool read_file(char *text, size_t size)
{
	long n = *path ? hk_os_read_text(path, text, size) : -ENOENT;

	if (n <= 0 && given && !is_temporary(n)) {
		use_own_group();
		return read_file(text, size);
	}
	if (n <= 0 && !is_temporary(n))
		*path = 0;
	return n > 0;
}

/* Is there pressure now? */
static bool look(uint64_t now)
{
	char text[256];
	bool since;

	if (!read_file(text, sizeof text))
		return false;
	since = waited_since(text, now);
	return since || recent_share(text) * window >= threshold * 10000;
}

bool hk_os_follow_pressure(uint64_t now)
{
	bool pressed;

	if (!*path || (looked && !hk_elapsed(now, looked, LOOK_MS)))
		return false;
	pressed = look(now);
	looked = now;
	if (pressed)
		found = now;
	atomic_store_explicit(&hk_os_pressed, found && !hk_elapsed(now, found, HOLD_MS), memory_order_relaxed);
	if (!pressed || (released && !hk_elapsed(now, released, HOLD_MS)))
		return false;
	released = now;
	return true;
}

void hk_os_end_pressure(void)
{
	atomic_store_explicit(&hk_os_pressed, false, memory_order_relaxed);
}
