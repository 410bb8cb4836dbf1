/* hakmem doctor: properties of the machine that affect a heap, and recommended changes. */
#include "cmd/cmd.h"
#include "os/os.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

static struct {
	json_t *list;		/* NULL: print text */
	unsigned advice;
} out;

/* A recommended change. Each member may be NULL. */
struct change {
	const char *why;
	const char *others;		/* the effect on other programs */
	const char *now, *lasting;	/* commands; lasting: persists after a reboot */
};

static void put_command(const char *name, const char *command)
{
	if (command)
		printf("    %-9s%s%s%s\n", name, ink(BOLD), command, ink(PLAIN));
}

/* In lines of 78 columns. */
static void put_text(const char *name, const char *value)
{
	const int indent = 4 + (*name ? 9 : 0);
	int column, length;

	if (!value)
		return;
	column = printf("    %-*s", indent - 4, name);
	for (; *value; value += strspn(value, " ")) {
		length = (int)strcspn(value, " ");
		if (column + 1 + length > 78)
			column = printf("\n%*s", indent, "") - 1;
		else if (column > indent)
			column += printf(" ");
		column += printf("%.*s", length, value);
		value += length;
	}
	putchar('\n');
}

/* change is NULL if no change is recommended. */
static void tell(const char *what, const char *value, const struct change *change)
{
	static const struct change none;
	const struct change *c = change ? change : &none;

	out.advice += change != NULL;
	if (out.list) {
		json_array_append_new(out.list, json_pack("{ss ss ss? ss? ss? ss?}", "what", what, "value", value,
			"advice", c->why, "others", c->others, "command", c->now, "lasting", c->lasting));
		return;
	}
	printf("%s%s%s %-26s %s\n", ink(change ? BAD : GOOD), change ? "!" : "+", ink(PLAIN), what, value);
	put_text("", c->why);
	put_text("others:", c->others);
	put_command("now:", c->now);
	put_command("lasting:", c->lasting);
}

/* The word in brackets of a sysfs file. */
static char *chosen(const char *path)
{
	char *line = file_line(path), *open = line ? strchr(line, '[') : NULL;
	char *word = open ? text("%.*s", (int)strcspn(open + 1, "]"), open + 1) : NULL;

	free(line);
	return word;
}

#define THP "/sys/kernel/mm/transparent_hugepage/"
/* The commands that write a value to such a file, now and at each boot. */
#define THP_NOW(file, value) "echo " value " | sudo tee " THP file
#define THP_LASTING(file, value) \
	"echo 'w " THP file " - - - - " value "' | sudo tee /etc/tmpfiles.d/hakmem-thp-" file ".conf"
#define SYSCTL_NOW(name, value) "sudo sysctl " name "=" value
#define SYSCTL_LASTING(name, value) "echo '" name " = " value "' | sudo tee /etc/sysctl.d/90-hakmem-" name ".conf"

static const struct change never_huge = {
	"dense heaps run slower than they could; with madvise, HAKMEM chooses what gets huge pages",
	"other programs that ask for huge pages get them too, which may cost memory",
	THP_NOW("enabled", "madvise"), THP_LASTING("enabled", "madvise"),
};
static const struct change slow_faults = {
	"a page fault may wait for the kernel to move memory",
	"other programs get fewer huge pages at once; the kernel makes them later, in the background",
	THP_NOW("defrag", "defer+madvise"), THP_LASTING("defrag", "defer+madvise"),
};

/* In MiB. */
static unsigned long long meminfo(const char *name)
{
	const char *root = getenv("HAKMEM_TEST_ROOT");
	char *path = text("%s/proc/meminfo", root ? root : ""), line[256];
	FILE *in = fopen(path, "re");
	unsigned long long kib = 0;

	while (in && fgets(line, sizeof line, in))
		if (!strncmp(line, name, strlen(name)) && line[strlen(name)] == ':')
			kib = strtoull(line + strlen(name) + 1, NULL, 10);
	if (in)
		fclose(in);
	free(path);
	return kib >> 10;
}

/* The kernel makes huge pages without knowing how much of each the program will use. */
static void always_huge(void)
{
	char *none = file_line(THP "khugepaged/max_ptes_none");
	char *why = text("the first touch of 2 MiB may take all of them, and khugepaged makes huge pages of ranges with "
			 "up to %d of 512 pages unused; here %llu of %llu MiB anonymous memory are huge pages",
			 none ? atoi(none) : 511, meminfo("AnonHugePages"), meminfo("AnonPages"));
	struct change c = { .why = why };

	if (huge_pages_by_advice()) {
		c.others = "nothing changes for them: hakmem run asks for huge pages by advice only, for its program";
		c.now = "hakmem run -- PROGRAM";
		c.lasting = "in the unit, from systemd 260 on: MemoryTHP=madvise";
	} else {
		c.others = "programs that do not ask for huge pages lose theirs and may run slower";
		c.now = THP_NOW("enabled", "madvise");
		c.lasting = THP_LASTING("enabled", "madvise");
	}
	tell("huge pages", "always", &c);
	free(why);
	free(none);
}

static void huge_pages(void)
{
	char *enabled = chosen(THP "enabled"), *defrag = chosen(THP "defrag");

	if (!enabled)
		tell("huge pages", "none in this kernel", NULL);
	else if (!strcmp(enabled, "always"))
		always_huge();
	else
		tell("huge pages", enabled, !strcmp(enabled, "never") ? &never_huge : NULL);
	if (enabled && defrag)
		tell("huge page defrag", defrag, !strcmp(defrag, "always") ? &slow_faults : NULL);
	free(enabled);
	free(defrag);
}

static void kernel_limits(void)
{
	static const struct change strict = {
		"the kernel refuses mappings before memory is full: allocations may fail early",
		"no allocation is refused early; if memory runs out, the kernel kills a process instead",
		SYSCTL_NOW("vm.overcommit_memory", "0"), SYSCTL_LASTING("vm.overcommit_memory", "0"),
	}, few = {
		"large heaps need more", "a process may have more mappings, each of which takes some kernel memory",
		SYSCTL_NOW("vm.max_map_count", "262144"), SYSCTL_LASTING("vm.max_map_count", "262144"),
	};
	char *overcommit = file_line("/proc/sys/vm/overcommit_memory");
	char *maps = file_line("/proc/sys/vm/max_map_count");

	if (overcommit && atoi(overcommit) == 2)
		tell("overcommit", "2 (strict)", &strict);
	else if (overcommit)
		tell("overcommit", *overcommit == '1' ? "1 (always)" : "0 (heuristic)", NULL);
	if (maps)
		tell("mappings of a process", maps, atol(maps) < 65530 ? &few : NULL);
	free(overcommit);
	free(maps);
}

static char *in_mib(uint64_t bytes)
{
	return text("%llu MiB", (unsigned long long)(bytes >> 20));
}

static void memory(void)
{
	static const struct change small = {
		.why = "small: see whether the profile tight suits your program", .now = "hakmem compare -- PROGRAM",
	}, counted = {
		"it counts memory that is mapped and not used: a heap in units of 2 MiB needs room",
		"only programs that this shell or unit starts", "ulimit -v unlimited", "in the unit: LimitAS=infinity",
	};
	const char *root = getenv("HAKMEM_TEST_ROOT");
	uint64_t limit = hk_os_group_limit(root ? root : "");
	struct rlimit space;
	char *value;

	value = limit == UINT64_MAX ? text("none") : in_mib(limit);
	tell("memory limit (cgroup)", value, limit >> 20 < 512 ? &small : NULL);
	free(value);
	if (getrlimit(RLIMIT_AS, &space) == 0 && space.rlim_cur != RLIM_INFINITY) {
		value = in_mib(space.rlim_cur);
		tell("address space (ulimit -v)", value, &counted);
		free(value);
	}
}

/* Tries each advice on a page of its own, because version numbers are unreliable. */
static void kernel_features(void)
{
	static const struct {
		const char *name, *without;
		int advice;
	} features[] = {
		{ "MADV_POPULATE_WRITE", "no; prewarming touches pages one by one (Linux 5.14 has it)", 23 },
		{ "MADV_COLLAPSE", "no; huge pages come by khugepaged alone (Linux 6.1 has it)", 25 },
	};
	size_t page = (size_t)sysconf(_SC_PAGESIZE), i;
	char *value = text("%zu KiB", page / 1024);
	void *p = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	tell("page size", value, NULL);
	free(value);
	for (i = 0; p != MAP_FAILED && i < sizeof features / sizeof *features; i++) {
		/* Collapsing a single page fails, with EINVAL only if the advice is unknown
		 * or the range contains no whole huge page. A length of 0 shows which it is. */
		bool there = madvise(p, i ? 0 : page, features[i].advice) == 0;

		tell(features[i].name, there ? "yes" : features[i].without, NULL);
	}
	tell("huge pages by advice only", huge_pages_by_advice() ? "yes; hakmem run asks for it" :
	     "no; hakmem run cannot ask for it (Linux 6.18 has it)", NULL);
	if (p != MAP_FAILED)
		munmap(p, page);
}

static void looking_from_outside(void)
{
	static const struct change root = {
		.why = "hakmem stats and top need to be root here", .now = "sudo hakmem top",
	};
	char *scope = file_line("/proc/sys/kernel/yama/ptrace_scope");
	bool restricted = scope && atoi(scope) > 0 && geteuid() != 0;

	tell("reading other processes", restricted ? "restricted (yama)" : "allowed", restricted ? &root : NULL);
	free(scope);
}

static int doctor(int argc, char **argv)
{
	static const struct change missing = {
		"the dynamic linker does not know " SONAME, "nothing changes for programs that do not ask for it",
		"sudo apt install libhakmem1", NULL,
	};
	char path[PATH_MAX];
	struct args a;
	int status;

	if (!args_read(&a, &command_doctor, argc, argv, &status))
		return status;
	if (a.argc)
		return fail(USAGE, "doctor takes no argument; for a process: hakmem check %s", a.argv[0]);
	out.list = a.json ? json_array() : NULL;
	if (linker_finds(SONAME, path, sizeof path))
		tell("library", path, NULL);
	else
		tell("library", "not found", &missing);
	tell("profile files", access("/etc/hakmem", F_OK) == 0 ? "/etc/hakmem" :
	     "none; for units: apt install libhakmem", NULL);
	huge_pages();
	kernel_limits();
	memory();
	kernel_features();
	looking_from_outside();
	if (a.json)
		print_json(json_pack("{si si so}", "schema", 1, "advice", (int)out.advice, "findings", out.list));
	else if (!out.advice)
		printf("nothing to change; next: hakmem compare -- PROGRAM\n");
	return out.advice ? FOUND : 0;
}

const struct command command_doctor = {
	"doctor", "j", doctor, USAGE, "[--json]", "what of this machine matters, and advice",
	"Looks at huge pages, overcommit, limits and what the kernel can do. Each advice\n"
	"says what it changes for other programs, and has a command for now and one that\n"
	"lasts; nothing is changed.\n"
	"Exit status: 0 nothing to advise, 1 there is advice.",
};
