/* hakmem check: is the library in a process, or would it be in a program; if not, why, and
 * what can be done. */
#include "cmd/heap.h"
#include "cmd/verdict.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct seen {
	char *ours, *other;
	bool any;
};

static bool look(const struct mapping *m, void *argument)
{
	struct seen *seen = argument;

	seen->any = true;
	if (!seen->ours && is_library(m->path))
		seen->ours = text("%s", m->path);
	if (!seen->other && allocator_of(m->path) >= 0)
		seen->other = text("%s", m->path);
	return false;
}

/* Of two preloaded allocators the first in the list is used. One that is only linked comes
 * after all preloaded ones. */
static bool other_wins(const char *preload, const struct seen *seen)
{
	const char *ours = preload ? strstr(preload, "libhakmem.so") : NULL;
	const char *other = preload && seen->other ? strstr(preload, base_of(seen->other)) : NULL;

	return seen->other && other && (!ours || other < ours);
}

static struct verdict hidden(pid_t pid, const char *why)
{
	return verdict_unknown(process_advice(), text("process %d may not be looked at: %s", (int)pid, why));
}

/* The link to the program of this process cannot be read, with this error. */
static struct verdict without_program(pid_t pid, int error)
{
	enum { OF_KERNEL = 0x200000 };		/* PF_KTHREAD of the kernel */
	char *path = text("/proc/%d/stat", (int)pid), *line = file_line(path), *end = line ? strrchr(line, ')') : NULL;
	unsigned flags = 0;
	char state = 0;

	if (end && sscanf(end, ") %c %*d %*d %*d %*d %*d %u", &state, &flags) < 2)
		flags = 0;
	free(path);
	free(line);
	if (flags & OF_KERNEL)
		return verdict_no(NULL, text("process %d belongs to the kernel", (int)pid));
	if (state == 'Z')
		return verdict_unknown(NULL, text("process %d has ended; its parent has not asked for its status yet "
						  "(a zombie)", (int)pid));
	if (error == ENOENT)
		return verdict_unknown(NULL, text("process %d has ended", (int)pid));
	if (error == EAGAIN)
		return verdict_unknown("ask again", text("process %d started another program meanwhile", (int)pid));
	return hidden(pid, strerror(error));
}

struct use {
	size_t blocks, bytes;		/* in the heap */
	size_t anonymous;		/* bytes of RSS that are not pages of a file */
};

static bool read_use(pid_t pid, struct use *use)
{
	static struct heap_reply reply;
	static struct heap heap;
	const struct hak_stats *all = &heap.s.all;
	struct hk_stats_page page;
	size_t rss;

	if (!heap_find(pid, &page, &reply))
		return false;
	heap_read(pid, &page, &reply);
	heap_accept(&heap, &reply);
	*use = (struct use){ all->slab_blocks + all->mid_blocks + all->large_blocks, all->in_use, 0 };
	return memory_quick(pid, &rss, &use->anonymous) && heap.state == HEAP_READ;
}

/* The library is in the process; determines whether the program uses it. */
static struct verdict check_use(pid_t pid, const char *exe, char *library)
{
	enum { FEW = 64, MUCH = 4 << 20 };
	struct verdict own = allocator_in(exe);
	struct use use;
	bool known = read_use(pid, &use);

	if (own.what && (!known || use.bytes < use.anonymous / 4))
		return own;
	if (known && use.blocks < FEW && use.anonymous >= MUCH && use.bytes < use.anonymous / 16)
		return verdict_no("nothing to do, unless the program can be told to call malloc",
				  text("%s is loaded, but has %zu block%s in use in a process of %zu MiB: the program "
				       "has an allocator of its own", library, use.blocks, plural((double)use.blocks),
				       use.anonymous >> 20));
	return (struct verdict){ .present = PRESENT, .what = library };
}

static struct verdict not_loaded(pid_t pid, const char *exe, const char *preload, const struct seen *seen)
{
	if (process_secure(pid))
		return verdict_no("nothing to do", text("%s is set-user-ID or set-group-ID, or has capabilities: it cannot "
				  "be preloaded", exe));
	if (!preload || !strstr(preload, "libhakmem"))
		return verdict_no("start it with hakmem run, or with EnvironmentFile=/etc/hakmem/default.env in its unit",
			text("%s was started without libhakmem in LD_PRELOAD%s%s", exe,
			     seen->other ? "; its malloc is that of " : "", seen->other ? seen->other : ""));
	return verdict_no("install it there (apt install libhakmem1), in the image if it is a container, and restart",
		text("LD_PRELOAD is %.500s, but the dynamic linker of the process did not find that", preload));
}

static struct verdict check_process(pid_t pid)
{
	char *link = text("/proc/%d/exe", (int)pid), *preload, exe[PATH_MAX];
	struct seen seen = { 0 };
	struct heap_reply found = { 0 };
	struct hk_stats_page page;
	struct verdict v;

	if (!maps_of_program(pid, exe, look, &seen))
		return without_program(pid, errno);
	if (!seen.any)
		return hidden(pid, "its mappings cannot be read");
	preload = process_variable(pid, "LD_PRELOAD");
	if (seen.ours && other_wins(preload, &seen))
		return verdict_no("take it out of LD_PRELOAD", text("%s comes before it in LD_PRELOAD", seen.other));
	if (seen.ours)
		return check_use(pid, link, seen.ours);
	/* The library may be linked in, and the program stripped: then the statistics page
	 * shows it, even if that has another version and cannot be read. */
	if (heap_find(pid, &page, &found) || found.state == HEAP_FAULT)
		return (struct verdict){ .present = PRESENT, .what = text("%s (linked in)", exe) };
	v = obstacle_in(link);
	/* The library is not mapped, whatever the program is. */
	if (v.present == UNKNOWN)
		v.present = ABSENT;
	return v.what ? v : not_loaded(pid, exe, preload, &seen);
}

struct answer {
	uint8_t present;
	char what[2 * PATH_MAX], advice[256];
};

static void ask_process(pid_t pid, void *reply)
{
	struct verdict v = check_process(pid);
	struct answer *a = reply;

	a->present = (uint8_t)v.present;
	snprintf(a->what, sizeof a->what, "%s", v.what);
	snprintf(a->advice, sizeof a->advice, "%s", v.advice ? v.advice : "");
}

static void answered(pid_t pid, const void *reply, const char *fault, void *argument)
{
	struct answer *a = argument;

	if (reply)
		memcpy(a, reply, sizeof *a);
	else
		snprintf(a->what, sizeof a->what, "process %d: %s", (int)pid, fault);
	a->what[sizeof a->what - 1] = a->advice[sizeof a->advice - 1] = 0;
}

struct verdict process_verdict(pid_t pid)
{
	static struct answer a = { .present = UNKNOWN };
	const struct reader r = { .size = sizeof a, .read = ask_process, .done = answered, .argument = &a };

	if (process_hidden(pid))
		return hidden(pid, "/proc does not show it");
	reader_run(&r, &pid, 1);
	return (struct verdict){ .present = a.present <= UNKNOWN ? a.present : UNKNOWN, .what = a.what,
				 .advice = *a.advice ? a.advice : NULL };
}

static void look_at_list(const char *path, void *argument)
{
	struct seen *seen = argument;

	/* The first allocator in the list is the one that is used. */
	if (allocator_of(path) >= 0 && !seen->ours && !seen->other)
		seen->other = text("%s", path);
	if (is_library(path) && !seen->ours)
		seen->ours = text("%s", path);
}

/* The dynamic linker that the program names must not be run, and the system's linker must not
 * be run on the program. So the system's linker is run on this command instead. It finds the
 * same library if it is the linker that the program names. */
static struct verdict ask_linker(const char *path)
{
	char *own = linker_of("/proc/self/exe"), *of_program = linker_of(path);
	bool same = own && of_program && !strcmp(own, of_program);
	const char *preload = getenv("LD_PRELOAD");
	struct seen seen = { 0 };

	free(own);
	linker_list(NULL, look_at_list, &seen);
	if (seen.ours && seen.other)
		return verdict_no("take it out of LD_PRELOAD", text("%s comes before it", seen.other));
	if (seen.ours && (same || (preload && strstr(preload, seen.ours))))
		return (struct verdict){ .present = PRESENT, .what = seen.ours };
	if (seen.ours)
		return verdict_unknown("name the library by its path: --library " LIBDIR "/" SONAME,
			text("the program has a dynamic linker of its own, %s, which may look for it elsewhere",
			     of_program));
	return verdict_no("see what it says: LD_DEBUG=libs", text("the dynamic linker does not load it"));
}

char *program_file(const char *name)
{
	char *path;

	obstacle_of(name, &path);
	return path;
}

static struct verdict check_program(const struct args *a, const char *name)
{
	char *path;
	struct verdict v = obstacle_of(name, &path);

	if (path && !a->json && strcmp(base_of(path), base_of(name)) != 0)
		printf("%s is a script, run by %s\n", printable(name, PATH_MAX), printable(path, PATH_MAX));
	if (v.what)
		return v;
	return ask_linker(path);
}

json_t *verdict_json(const struct verdict *v)
{
	return v->present == UNKNOWN ? json_null() : json_boolean(v->present == PRESENT);
}

static int print_verdict(const struct verdict *v, bool as_json)
{
	static const struct { const char *word; enum ink ink; int status; } words[] = {
		[ABSENT] = { "no", BAD, FOUND }, [PRESENT] = { "yes", GOOD, 0 }, [UNKNOWN] = { "unknown", BAD, USAGE },
	};

	if (as_json && print_json(json_pack("{si so so so}", "schema", 1, "present", verdict_json(v),
			v->present == PRESENT ? "file" : "reason", json_text(v->what), "advice", json_text(v->advice))))
		return FOUND;
	if (!as_json)
		printf("%s%s%s: %s\n", ink(words[v->present].ink), words[v->present].word, ink(PLAIN),
		       printable(v->what, sizeof ((struct answer *)0)->what));
	if (!as_json && v->advice)
		printf("next: %s\n", v->advice);
	return words[v->present].status;
}

static int check(int argc, char **argv)
{
	struct verdict v;
	struct args a;
	int status;
	bool program;
	pid_t pid;

	if (!args_read(&a, &command_check, argc, argv, &status))
		return status;
	program = a.argc && (!strcmp(a.argv[-1], "--") || strspn(a.argv[0], "0123456789") != strlen(a.argv[0]));
	if (!a.argc || (!program && a.argc > 1))
		return fail(USAGE, "check takes a process id, or -- and a program");
	if (program ? !launch_environment(&a) : !process_id(a.argv[0], &pid))
		return USAGE;
	v = program ? check_program(&a, a.argv[0]) : process_verdict(pid);
	status = print_verdict(&v, a.json);
	if (status == 0 && !program && !a.json)
		printf("next: hakmem stats %d\n", (int)pid);
	return status;
}

const struct command command_check = {
	"check", "Lj", check, USAGE, "[--json] PID | [--library FILE] -- PROGRAM",
	"is HAKMEM really in there, and if not, why",
	"Tells whether a running process has the library, or whether hakmem run would\n"
	"bring it into a program, which is not run for that.\n"
	"Exit status: 0 it is in there, 1 it is not, 2 unknown.",
};
