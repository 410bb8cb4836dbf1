/* hakmem doctor: what of this machine matters to a heap, and what to change. */
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
	json_t *list;		/* or NULL: as text */
	unsigned advice;
} out;

/* advice NULL: all is well. then: the command to follow it, or NULL. */
static void tell(const char *what, const char *value, const char *advice, const char *then)
{
	out.advice += advice != NULL;
	if (out.list) {
		json_array_append_new(out.list, json_pack("{ss ss ss? ss?}", "what", what, "value", value,
							  "advice", advice, "command", then));
		return;
	}
	printf("%s%s%s %-26s %s\n", ink(advice ? BAD : GOOD), advice ? "!" : "+", ink(PLAIN), what, value);
	if (advice)
		printf("    %s\n", advice);
	if (then)
		printf("    %s%s%s\n", ink(BOLD), then, ink(PLAIN));
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

static void huge_pages(void)
{
	char *enabled = chosen(THP "enabled"), *defrag = chosen(THP "defrag");
	char *none = file_line(THP "khugepaged/max_ptes_none");

	if (!enabled) {
		tell("huge pages", "none in this kernel", NULL, NULL);
		return;
	}
	if (!strcmp(enabled, "never"))
		tell("huge pages", enabled, "dense heaps run slower than they could; madvise lets HAKMEM choose",
		     "echo madvise | sudo tee " THP "enabled");
	else if (!strcmp(enabled, "always") && none && atoi(none) > 64)
		tell("huge pages", enabled, "the kernel also fills huge pages that are nearly empty, which costs "
		     "memory", "echo madvise | sudo tee " THP "enabled");
	else
		tell("huge pages", enabled, NULL, NULL);
	if (defrag && !strcmp(defrag, "always"))
		tell("huge page defrag", defrag, "a page fault may wait for the kernel to move memory",
		     "echo defer+madvise | sudo tee " THP "defrag");
	else if (defrag)
		tell("huge page defrag", defrag, NULL, NULL);
	free(enabled);
	free(defrag);
	free(none);
}

static void kernel_limits(void)
{
	char *overcommit = file_line("/proc/sys/vm/overcommit_memory");
	char *maps = file_line("/proc/sys/vm/max_map_count");

	if (overcommit && atoi(overcommit) == 2)
		tell("overcommit", "2 (strict)", "the kernel refuses mappings before memory is full: allocations "
		     "may fail early", "sudo sysctl vm.overcommit_memory=0");
	else if (overcommit)
		tell("overcommit", *overcommit == '1' ? "1 (always)" : "0 (heuristic)", NULL, NULL);
	if (maps && atol(maps) < 65530)
		tell("mappings of a process", maps, "large heaps need more", "sudo sysctl vm.max_map_count=262144");
	else if (maps)
		tell("mappings of a process", maps, NULL, NULL);
	free(overcommit);
	free(maps);
}

static char *in_mib(uint64_t bytes)
{
	return text("%llu MiB", (unsigned long long)(bytes >> 20));
}

static void memory(void)
{
	const char *root = getenv("HAKMEM_TEST_ROOT");
	uint64_t limit = hk_os_group_limit(root ? root : "");
	struct rlimit space;
	char *value;

	value = limit == UINT64_MAX ? text("none") : in_mib(limit);
	if (limit >> 20 < 512)
		tell("memory limit (cgroup)", value, "small: see whether the profile tight suits your program",
		     "hakmem compare -- PROGRAM");
	else
		tell("memory limit (cgroup)", value, NULL, NULL);
	free(value);
	if (getrlimit(RLIMIT_AS, &space) == 0 && space.rlim_cur != RLIM_INFINITY) {
		value = in_mib(space.rlim_cur);
		tell("address space (ulimit -v)", value, "it counts memory that is mapped and not used: "
		     "a heap in units of 2 MiB needs room", "ulimit -v unlimited");
		free(value);
	}
}

/* Tries each on a page of our own: version numbers lie. */
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

	tell("page size", value, NULL, NULL);
	free(value);
	for (i = 0; p != MAP_FAILED && i < sizeof features / sizeof *features; i++) {
		/* Collapsing one page fails, with EINVAL only where it is unknown or
		 * the range holds no whole huge page; a length of 0 asks for that. */
		bool there = madvise(p, i ? 0 : page, features[i].advice) == 0;

		tell(features[i].name, there ? "yes" : features[i].without, NULL, NULL);
	}
	if (p != MAP_FAILED)
		munmap(p, page);
}

static void looking_from_outside(void)
{
	char *scope = file_line("/proc/sys/kernel/yama/ptrace_scope");

	if (scope && atoi(scope) > 0 && geteuid() != 0)
		tell("reading other processes", "restricted (yama)", "hakmem stats and top need to be root here",
		     "sudo hakmem top");
	else
		tell("reading other processes", "allowed", NULL, NULL);
	free(scope);
}

static int doctor(int argc, char **argv)
{
	char path[PATH_MAX];
	struct args a;
	int status;

	if (!args_read(&a, &command_doctor, argc, argv, &status))
		return status;
	if (a.argc)
		return fail(USAGE, "doctor takes no argument; for a process: hakmem check %s", a.argv[0]);
	out.list = a.json ? json_array() : NULL;
	if (linker_finds(SONAME, path, sizeof path))
		tell("library", path, NULL, NULL);
	else
		tell("library", "not found", "the dynamic linker does not know " SONAME, "sudo apt install libhakmem");
	if (access("/etc/hakmem", F_OK) == 0)
		tell("profile files", "/etc/hakmem", NULL, NULL);
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
	"comes with the command that follows it; nothing is changed.\n"
	"Exit status: 0 nothing to advise, 1 there is advice.",
};
