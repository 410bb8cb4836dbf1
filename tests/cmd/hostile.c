/*
 * A process that attacks the processes that read it. hostile MODE [DIRECTORY] prints a
 * line on standard output when it is ready, and waits; the line is "cannot" if the machine
 * does not support the mode. Modes that begin with file- map DIRECTORY/libhakmem.so.1, the
 * others contain a statistics page.
 */
#define hakmem_stats_page other_declaration
#include "stats/page.h"
#undef hakmem_stats_page
#include "config/control.h"
#include "sample/table.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <linux/fuse.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

extern struct hk_stats_page hakmem_stats_page;
struct hk_stats_page hakmem_stats_page = {
	.magic = HK_STATS_PAGE_MAGIC, .version = HK_STATS_PAGE_VERSION, .word = sizeof(size_t), .library = "1.0.0",
	.size = sizeof hakmem_stats_page, .classes = HK_CLASSES, .cache.size = 64, .chunk = 512,
	.superslab = { .slabs = 1, .slab_size = 8 },
};
#define page hakmem_stats_page

enum { PAGE = 1 << 16 };		/* at least a page on any machine */

static size_t zeros[4096];
static void *first_cache, *caches[2][8], *chunk[512], *directory[1 << 15];
static uint32_t directory_end;
static const char *directory_path;

static void say(const char *what)
{
	printf("%s\n", what);
	fflush(stdout);
}

static void *map(size_t size, int fd)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | (fd < 0 ? MAP_ANONYMOUS : 0), fd, 0);

	if (at == MAP_FAILED) {
		say("cannot");
		exit(1);
	}
	return at;
}

static void plain(void)
{
	unsigned i;

	for (i = 0; i < HK_FIGURES; i++)
		page.total[i] = zeros;
	page.metadata[0] = page.metadata[1] = zeros;
	for (i = 0; i < HK_CLASS_FIGURES; i++)
		page.by_class[i] = zeros;
	page.history = zeros;
	page.limits = zeros;
	page.caches = &first_cache;
	page.directory = directory;
	page.directory_end = &directory_end;
}

static void circle(void)
{
	caches[0][0] = caches[1];
	caches[1][0] = caches[0];
	first_cache = caches[0];
}

/* An endless list of SuperSlabs, all of them the same. */
static void endless(void)
{
	static size_t superslab[64] = { 1 };
	unsigned i;

	for (i = 0; i < sizeof chunk / sizeof *chunk; i++)
		chunk[i] = superslab;
	for (i = 0; i < sizeof directory / sizeof *directory; i++)
		directory[i] = chunk;
	directory_end = UINT32_MAX;
}

static void sizes(void)
{
	page.cache.size = page.chunk = page.superslab.slabs = page.superslab.slab_size = UINT32_MAX;
}

static void offsets(void)
{
	memset(&page.cache, 0xff, sizeof page.cache);
	memset(&page.superslab, 0xff, sizeof page.superslab);
	page.cache.size = 64;
	page.superslab.slabs = page.superslab.slab_size = 1;
	first_cache = caches[0];
	directory[0] = chunk;
	directory_end = 1;
	chunk[0] = zeros;
}

static void nowhere(void)
{
	first_cache = (void *)(uintptr_t)4096;
}

static void words(const char *library)
{
	memcpy(page.library, library, sizeof page.library);
}

static void escape(void)
{
	words("\033]0;owned\007\n\xff\x9b" "31m");
	prctl(PR_SET_NAME, "\033[31m\nevil\xff\"");
}

static void quotes(void)
{
	words("\",\"pid\":1,\"x\":\"");
	prctl(PR_SET_NAME, "a\"} 1\\");
}

static void version(void)
{
	words("\033]0;owned\007\033[31m");
	page.version = 77;
}

/* A value that is not valid for a bool. */
static void history(void)
{
	memset(zeros, 0xff, sizeof zeros);
	page.history = zeros;
	directory_end = 0;
}

static struct hk_control control = {
	.magic = HK_CONTROL_MAGIC, .version = HK_CONTROL_VERSION, .size = sizeof control,
};

static void control_silent(void)
{
	page.control = &control;
}

static void control_size(void)
{
	page.control = &control;
	control.size--;
}

static void control_nowhere(void)
{
	page.control = (void *)(uintptr_t)4096;
}

/* A control block in memory that cannot be written. */
static void control_constant(void)
{
	static const struct hk_control constant = {
		.magic = HK_CONTROL_MAGIC, .version = HK_CONTROL_VERSION, .size = sizeof constant };

	page.control = (void *)(uintptr_t)&constant;
}

/* A request that waits, without a NUL in any name or value. */
static void control_full(void)
{
	unsigned i;

	page.control = &control;
	memset(control.change, 0x9b, sizeof control.change);
	for (i = 0; i < HK_CONTROL_CHANGES; i++)
		control.change[i].name[0] = (char)('A' + i);
	control.count = HK_CONTROL_CHANGES;
	control.asked = 1;
}

/* Refuses everything, with an unknown reason and with control characters for the terminal. */
static void control_lies(void)
{
	page.control = &control;
	say("ready");
	for (;;) {
		if (control.asked == control.done)
			continue;
		memset(control.change, 0x9b, sizeof control.change);
		memcpy(control.change[0].name, "\033[31m", 6);
		control.refused = 1;
		control.verdict = UINT32_MAX;
		control.done = control.asked;
	}
}

/* A page that is never delivered. */
static void *slow_page(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	char *slow = map(PAGE, -1);
	struct uffdio_register range = { .range = { (uintptr_t)slow, PAGE }, .mode = UFFDIO_REGISTER_MODE_MISSING };
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) < 0 || ioctl(fd, UFFDIO_REGISTER, &range) < 0) {
		say("cannot");
		exit(1);
	}
	return slow;
}

static void userfault(void)
{
	first_cache = slow_page();
}

static void control_userfault(void)
{
	page.control = slow_page();
}

/* Without a body, the answer is ENOSYS. Some calls want no answer; then the kernel
 * refuses it. */
static void answer(int fd, uint64_t unique, const void *body, size_t size)
{
	struct { struct fuse_out_header head; char body[256]; } out = { .head = { .unique = unique } };

	out.head.len = (uint32_t)(sizeof out.head + size);
	out.head.error = size ? 0 : -ENOSYS;
	memcpy(out.body, body, size);
	if (write(fd, &out, out.head.len) < 0)
		return;
}

/* Serves a file system with one file, and never answers a read of that file. */
static void serve(int fd)
{
	static _Alignas(8) char in[1 << 18];
	const struct fuse_in_header *head = (void *)in;

	while (read(fd, in, sizeof in) > 0) {
		bool root = head->opcode != FUSE_LOOKUP && head->nodeid == FUSE_ROOT_ID;
		struct fuse_attr attr = { .ino = root ? 1 : 2, .size = PAGE, .nlink = 1,
			.mode = root ? S_IFDIR | 0755 : S_IFREG | 0644 };
		struct fuse_init_out init = { .major = FUSE_KERNEL_VERSION, .minor = 31, .max_write = 4096 };
		struct fuse_entry_out entry = { .nodeid = 2, .entry_valid = 999, .attr_valid = 999, .attr = attr };
		struct fuse_attr_out got = { .attr_valid = 999, .attr = attr };
		struct fuse_open_out opened = { .fh = 1 };

		if (head->opcode == FUSE_INIT)
			answer(fd, head->unique, &init, sizeof init);
		else if (head->opcode == FUSE_LOOKUP)
			answer(fd, head->unique, &entry, sizeof entry);
		else if (head->opcode == FUSE_GETATTR)
			answer(fd, head->unique, &got, sizeof got);
		else if (head->opcode == FUSE_OPEN)
			answer(fd, head->unique, &opened, sizeof opened);
		else if (head->opcode != FUSE_READ)
			answer(fd, head->unique, "", 0);
	}
	_exit(0);
}

/* The server ends with this process; then all calls that wait for it return. */
static void fuse(void)
{
	char options[99], *path;
	int server = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0", server);
	if (server < 0 || unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("hostile", directory_path, "fuse", MS_NOSUID | MS_NODEV, options) < 0) {
		say("cannot");
		exit(1);
	}
	if (fork() == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		serve(server);
	}
	close(server);
	if (asprintf(&path, "%s/slow", directory_path) < 0)
		exit(1);
	first_cache = map(PAGE, open(path, O_RDONLY));
}

/* Creates the mapped file, with at least one page. */
static char library_path[4096];

static int library(void)
{
	int fd;

	snprintf(library_path, sizeof library_path, "%s/libhakmem.so.1", directory_path);
	fd = open(library_path, O_RDWR | O_CREAT | O_TRUNC, 0644);
	if (fd < 0 || ftruncate(fd, PAGE) < 0)
		exit(1);
	return fd;
}

/* The ELF header of this program, with so many sections at this offset. */
static ElfW(Ehdr) head_with(unsigned sections, uint64_t offset)
{
	ElfW(Ehdr) head;
	int fd = open("/proc/self/exe", O_RDONLY);

	if (read(fd, &head, sizeof head) != sizeof head)
		exit(1);
	close(fd);
	head.e_phnum = 0;
	head.e_shnum = (ElfW(Half))sections;
	head.e_shentsize = sizeof(ElfW(Shdr));
	head.e_shoff = offset;
	return head;
}

/* So many symbol tables of this size, all with the whole file as their string table. */
static void file_tables(unsigned count, uint64_t size)
{
	int fd = library();
	ElfW(Ehdr) head = head_with(count, sizeof head);
	ElfW(Shdr) table = { .sh_type = SHT_SYMTAB, .sh_size = (size_t)size };
	unsigned i;

	if (ftruncate(fd, (off_t)size) < 0) {
		say("cannot");
		exit(1);
	}
	if (pwrite(fd, &head, sizeof head, 0) < 0)
		exit(1);
	for (i = 0; i < count; i++)
		if (pwrite(fd, &table, sizeof table, (off_t)(sizeof head + i * sizeof table)) < 0)
			exit(1);
	map(PAGE, fd);
}

static void file_many_tables(void)
{
	file_tables(60000, 32 << 20);
}

/* The largest file that ext4 allows: 16 TiB less a page. */
static void file_sparse(void)
{
	file_tables(3, ((uint64_t)16 << 40) - PAGE);
}

static void file_cut(void)
{
	int fd = library();

	if (ftruncate(fd, 64 * PAGE) < 0)
		exit(1);
	map(64 * PAGE, fd);
	if (ftruncate(fd, 0) < 0)
		exit(1);
}

static void replace_library(void)
{
	map(PAGE, library());
	unlink(library_path);
}

static void file_fifo(void)
{
	replace_library();
	mkfifo(library_path, 0666);
}

static void file_link(void)
{
	replace_library();
	if (symlink("/dev/zero", library_path) < 0)
		exit(1);
}

static void file_device(void)
{
	replace_library();
	if (mknod(library_path, S_IFCHR | 0666, makedev(1, 5)) < 0) {
		say("cannot");
		exit(1);
	}
}

static struct hk_sample_table samples, *samples_at = &samples;

/* A table with as many elements as a good one can have, all of them with this byte. */
static void table_of(int byte)
{
	struct hk_sample_table t = { .magic = HK_SAMPLE_TABLE_MAGIC, .version = HK_SAMPLE_TABLE_VERSION,
		.size = sizeof t, .site_size = sizeof *t.site, .sample_size = sizeof *t.sample,
		.frame_size = sizeof *t.frame, .sites_most = HK_SAMPLE_SITES, .samples_most = HK_SAMPLE_BLOCKS,
		.frames_most = HK_SAMPLE_FRAMES, .mean = 65536, .sites = HK_SAMPLE_SITES, .samples = HK_SAMPLE_BLOCKS,
		.frames = HK_SAMPLE_FRAMES, .on = true };

	t.site = map(HK_SAMPLE_SITES * sizeof *t.site, -1);
	t.sample = map(HK_SAMPLE_BLOCKS * sizeof *t.sample, -1);
	t.frame = map(HK_SAMPLE_FRAMES * sizeof *t.frame, -1);
	memset(t.site, byte, HK_SAMPLE_SITES * sizeof *t.site);
	memset(t.sample, byte, HK_SAMPLE_BLOCKS * sizeof *t.sample);
	memset(t.frame, byte, HK_SAMPLE_FRAMES * sizeof *t.frame);
	samples = t;
	page.samples = &samples_at;
}

static void samples_ones(void)
{
	table_of(0xff);
}

static void samples_random(void)
{
	uint32_t *word, state = 1;

	table_of(0);
	for (word = (void *)samples.site; word < (uint32_t *)(samples.site + HK_SAMPLE_SITES); word++)
		*word = state = state * 1664525 + 1013904223;
	for (word = (void *)samples.sample; word < (uint32_t *)(samples.sample + HK_SAMPLE_BLOCKS); word++)
		*word = state = state * 1664525 + 1013904223;
	for (word = (void *)samples.frame; word < (uint32_t *)(samples.frame + HK_SAMPLE_FRAMES); word++)
		*word = state = state * 1664525 + 1013904223;
}

static void samples_huge(void)
{
	table_of(0);
	samples.sites_most = samples.samples_most = samples.frames_most = UINT32_MAX;
	samples.sites = samples.samples = samples.frames = UINT32_MAX;
	samples.mean = UINT64_MAX;
}

/* The arrays are the table itself, and overlap. */
static void samples_circle(void)
{
	table_of(0);
	samples.site = (void *)&samples;
	samples.sample = (void *)&samples;
	samples.frame = (void *)&samples;
	samples.sites = samples.samples = 1;
	samples.frames = 4;
}

static void samples_nowhere(void)
{
	table_of(0);
	samples.site = (void *)(uintptr_t)4096;
}

static void samples_version(void)
{
	table_of(0);
	samples.version++;
}

/* Each site has the same deep stack, and the largest sums. */
static void samples_deep(void)
{
	unsigned i;

	table_of(0x7f);
	for (i = 0; i < HK_SAMPLE_FRAMES; i++)
		samples.frame[i] = (uintptr_t)&samples_deep + i % 1000;
	for (i = 0; i < HK_SAMPLE_SITES; i++) {
		samples.site[i].first = i;
		samples.site[i].depth = 1024;
	}
}

/* The one frame is in a file that is this program, except for these percents of it, which are
 * 0xff. Its name is hostile too. */
static void samples_in_file(unsigned from, unsigned to)
{
	static char whole[1 << 22];
	int in = open("/proc/self/exe", O_RDONLY), fd;
	ssize_t size = read(in, whole, sizeof whole);
	const ElfW(Ehdr) *head = (void *)whole;
	const ElfW(Phdr) *p = (void *)(whole + head->e_phoff);
	char *at;

	while (!(p->p_type == PT_LOAD && p->p_flags & PF_X))
		p++;
	table_of(0);
	samples.sites = samples.samples = samples.frames = 1;
	samples.site[0].depth = 1;
	samples.site[0].live = samples.site[0].all = (struct hk_sample_sum){ 1, 100, 65536 };
	at = (char *)(p->p_offset & -(size_t)sysconf(_SC_PAGESIZE));
	memset(whole + (size_t)size / 100 * from, 0xff, (size_t)size / 100 * (to - from));
	snprintf(library_path, sizeof library_path, "%s/\033[31m\n;evil", directory_path);
	fd = open(library_path, O_RDWR | O_CREAT | O_TRUNC, 0755);
	if (fd < 0 || write(fd, whole, (size_t)size) != size)
		exit(1);
	at = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, (off_t)(uintptr_t)at);
	if (at == MAP_FAILED)
		exit(1);
	samples.frame[0] = (uintptr_t)at + 2000;
}

static void samples_symbols(void)
{
	samples_in_file(75, 100);
}

static void samples_lines(void)
{
	samples_in_file(30, 60);
}

static void samples_cut(void)
{
	samples_in_file(0, 0);
	if (truncate(library_path, 8192) < 0)
		exit(1);
}

static void samples_fifo(void)
{
	samples_in_file(0, 0);
	unlink(library_path);
	mkfifo(library_path, 0666);
}

static const struct {
	const char *name;
	void (*prepare)(void);
} modes[] = {
	{ "samples-ones", samples_ones }, { "samples-random", samples_random }, { "samples-huge", samples_huge },
	{ "samples-circle", samples_circle }, { "samples-nowhere", samples_nowhere },
	{ "samples-version", samples_version }, { "samples-deep", samples_deep },
	{ "samples-symbols", samples_symbols }, { "samples-lines", samples_lines }, { "samples-cut", samples_cut },
	{ "samples-fifo", samples_fifo },
	{ "circle", circle }, { "endless", endless }, { "sizes", sizes }, { "offsets", offsets },
	{ "nowhere", nowhere }, { "escape", escape }, { "quotes", quotes }, { "version", version },
	{ "control-silent", control_silent }, { "control-size", control_size },
	{ "control-nowhere", control_nowhere }, { "control-constant", control_constant },
	{ "control-full", control_full }, { "control-lies", control_lies },
	{ "control-userfault", control_userfault },
	{ "history", history }, { "userfault", userfault }, { "fuse", fuse },
	{ "file-tables", file_many_tables }, { "file-sparse", file_sparse }, { "file-cut", file_cut },
	{ "file-fifo", file_fifo }, { "file-link", file_link }, { "file-device", file_device },
};

int main(int argc, char **argv)
{
	unsigned i;

	if (argc < 2)
		return 1;
	directory_path = argc > 2 ? argv[2] : NULL;
	plain();
	if (!strncmp(argv[1], "file-", 5))
		memset(page.magic, 0, sizeof page.magic);
	for (i = 0; i < sizeof modes / sizeof *modes; i++)
		if (!strcmp(modes[i].name, argv[1])) {
			modes[i].prepare();
			say("ready");
			pause();
		}
	return 1;
}
