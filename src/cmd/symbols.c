/*
 * Finds functions and source lines of addresses with libdw. Files that the profiled process
 * chose may make libdw crash, loop, or allocate without bounds, and debug information may name
 * other files for it to open. So each mapped file has a child of its own with resource limits,
 * which replies with records of fixed size, and cannot open any file while libdw reads one:
 * its limit of open files is 0, except while it looks for separate debug information by build
 * ID, where only /usr/lib/debug and debuginfod are asked. Addresses for which there is no reply
 * keep the name of their file and the offset.
 */
#include "cmd/profile.h"
#include "cmd/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef HAVE_LIBDW
#include <dlfcn.h>
#include <dwarf.h>
#include <elfutils/libdwfl.h>

enum {
	MOST_PLACES = 32,		/* of one address */
	MOST_SCOPES = 256,		/* around it, of all kinds */
	MOST_FUNCTIONS = 1 << 22,	/* of a unit */
	MOST_REPLY = 256 << 20,		/* bytes, for all files */
	MOST_CPU = 20,			/* seconds, for one file */
	MOST_TIME = 30, MOST_TIME_FETCHING = 300,
	MOST_TIME_ALL = 120,		/* without fetching */
	MOST_FILES = 1024,
};
#if UINTPTR_MAX > UINT32_MAX
#define MOST_MEMORY ((size_t)4 << 30)
#else
#define MOST_MEMORY ((size_t)1 << 30)
#endif

struct record {
	uint32_t address, line;		/* address: its index in the profile */
	char function[400], file[248];	/* "": unknown */
};
#define NO_MORE UINT32_MAX		/* instead of an address: the file was read to its end */

/* In the child. Addresses are those of the debug information. */
struct function {
	Dwarf_Addr low, high;
	Dwarf_Off die;
};

struct unit {
	Dwarf_Off offset;
	struct function *function;	/* with code, in ascending order */
	size_t functions;
	struct unit *next;
};

struct module {
	const struct profile *profile;
	const struct profile_map *map;
	Dwfl_Module *module;
	struct unit *unit;
	uint64_t from_file;		/* link-time address - offset in the file */
	struct record record;
};

static char *(*demangle)(const char *, char *, size_t *, int *);

static void allow_files(bool allow)
{
	static struct rlimit before;

	if (!before.rlim_max)
		getrlimit(RLIMIT_NOFILE, &before);
	setrlimit(RLIMIT_NOFILE, &(struct rlimit){ allow ? before.rlim_cur : 0, before.rlim_max });
}

/* Without these names, which come from the hostile file, libdw uses the build ID. */
static int find_debug_file(Dwfl_Module *module, void **data, const char *name, Dwarf_Addr base, const char *file,
			   const char *link, GElf_Word checksum, char **found)
{
	int fd, error;

	(void)file;
	(void)link;
	(void)checksum;
	allow_files(true);
	fd = dwfl_standard_find_debuginfo(module, data, name, base, NULL, NULL, 0, found);
	error = errno;
	allow_files(false);
	errno = error;
	return fd;
}

/* libstdc++ is present wherever C++ programs run. Without it, names stay as they are. */
static void find_demangler(void)
{
	void *library = dlopen("libstdc++.so.6", RTLD_NOW | RTLD_LOCAL);
	void *function = library ? dlsym(library, "__cxa_demangle") : NULL;

	memcpy(&demangle, &function, sizeof demangle);
}

static void copy_text(char *to, size_t size, const char *from)
{
	size_t length = strlen(from);

	memcpy(to, from, length < size ? length + 1 : size);
	if (length >= size)
		memcpy(to + size - 4, "...", 4);
}

static void put_function(struct record *r, const char *name)
{
	int status;
	char *plain = demangle && name && !strncmp(name, "_Z", 2) ? demangle(name, NULL, NULL, &status) : NULL;

	copy_text(r->function, sizeof r->function, plain ? plain : name ? name : "");
	free(plain);
}

static void put_line(struct record *r, const char *file, int line)
{
	copy_text(r->file, sizeof r->file, file ? file : "");
	r->line = line > 0 ? (uint32_t)line : 0;
}

static void send_record(const struct record *r)
{
	size_t done = 0;
	ssize_t n;

	while (done < sizeof *r && (n = write(CHILD_OUT, (const char *)r + done, sizeof *r - done)) > 0)
		done += (size_t)n;
	if (done < sizeof *r)
		_exit(1);
}

static const char *name_of(Dwarf_Die *die)
{
	Dwarf_Attribute attribute;

	if (dwarf_attr_integrate(die, DW_AT_linkage_name, &attribute) ||
	    dwarf_attr_integrate(die, DW_AT_MIPS_linkage_name, &attribute))
		return dwarf_formstring(&attribute);
	return dwarf_diename(die);
}

/* The place of the call that was replaced by an inlined function. */
static void put_call(struct record *r, Dwarf_Die *inlined, Dwarf_Files *files)
{
	Dwarf_Attribute attribute;
	Dwarf_Word file = 0, line = 0;

	if (dwarf_formudata(dwarf_attr(inlined, DW_AT_call_file, &attribute), &file))
		file = 0;
	if (dwarf_formudata(dwarf_attr(inlined, DW_AT_call_line, &attribute), &line))
		line = 0;
	put_line(r, files && file ? dwarf_filesrc(files, file, NULL, NULL) : NULL, (int)line);
}

/* The list of functions of a unit. dwarf_getscopes would search the whole unit for each address. */
static bool add_function(struct unit *u, Dwarf_Die *die)
{
	Dwarf_Addr base, low, high;
	ptrdiff_t next = 0;

	while ((next = dwarf_ranges(die, next, &base, &low, &high)) > 0) {
		if (u->functions == MOST_FUNCTIONS)
			return false;
		if (!(u->functions & (u->functions - 1)))
			u->function = grow(u->function, (u->functions ? 2 * u->functions : 1) * sizeof *u->function);
		u->function[u->functions++] = (struct function){ low, high, dwarf_dieoffset(die) };
	}
	return true;
}

static int each_function(Dwarf_Die *die, void *unit)
{
	return add_function(unit, die) ? DWARF_CB_OK : DWARF_CB_ABORT;
}

static int by_low(const void *a, const void *b)
{
	const struct function *x = a, *y = b;

	return (x->low > y->low) - (x->low < y->low);
}

static struct unit *unit_of(struct module *m, Dwarf_Die *die)
{
	Dwarf_Off offset = dwarf_dieoffset(die);
	struct unit *u;

	for (u = m->unit; u; u = u->next)
		if (u->offset == offset)
			return u;
	u = grow(NULL, sizeof *u);
	*u = (struct unit){ .offset = offset, .next = m->unit };
	m->unit = u;
	dwarf_getfuncs(die, each_function, u, 0);
	if (u->functions)
		qsort(u->function, u->functions, sizeof *u->function, by_low);
	return u;
}

/* Functions of a unit do not overlap. */
static int by_address(const void *a, const void *b)
{
	Dwarf_Addr address = *(const Dwarf_Addr *)a;
	const struct function *f = b;

	return address < f->low ? -1 : address >= f->high;
}

static const struct function *function_at(const struct unit *u, Dwarf_Addr address)
{
	return u->functions ? bsearch(&address, u->function, u->functions, sizeof *u->function, by_address) : NULL;
}

/* Replaces a scope by the one in it that contains the address. */
static bool descend(Dwarf_Die *scope, Dwarf_Addr address)
{
	Dwarf_Die child;
	int tag;

	if (dwarf_child(scope, &child))
		return false;
	do {
		tag = dwarf_tag(&child);
		if ((tag == DW_TAG_inlined_subroutine || tag == DW_TAG_lexical_block) && dwarf_haspc(&child, address) > 0) {
			*scope = child;
			return true;
		}
	} while (!dwarf_siblingof(&child, &child));
	return false;
}

/* The functions whose code contains the address, the outermost first: one, and those that were inlined into it. */
static int functions_at(struct module *m, Dwarf_Die *unit, Dwarf_Addr address, Dwarf_Die *found)
{
	const struct function *f = function_at(unit_of(m, unit), address);
	int count = 0, level;
	Dwarf_Die scope;
	Dwarf_Addr bias;
	Dwarf *dwarf = f ? dwfl_module_getdwarf(m->module, &bias) : NULL;

	if (!dwarf || !dwarf_offdie(dwarf, f->die, &scope))
		return 0;
	found[count++] = scope;
	for (level = 0; level < MOST_SCOPES && count < MOST_PLACES && descend(&scope, address); level++)
		if (dwarf_tag(&scope) == DW_TAG_inlined_subroutine)
			found[count++] = scope;
	return count;
}

/* Sends a record for each inlined function and for the one that contains them. */
static bool send_functions(struct module *m, Dwarf_Addr address)
{
	struct record *r = &m->record;
	Dwarf_Die *unit, found[MOST_PLACES];
	Dwarf_Files *files = NULL;
	Dwarf_Addr bias;
	int count, i;

	unit = dwfl_module_addrdie(m->module, address, &bias);
	count = unit ? functions_at(m, unit, address - bias, found) : 0;
	if (count)
		dwarf_getsrcfiles(unit, &files, NULL);
	for (i = count; i-- > 0; ) {
		put_function(r, name_of(&found[i]));
		send_record(r);
		if (i)
			put_call(r, &found[i], files);
	}
	return count;
}

static void send_places(struct module *m, uint32_t index)
{
	struct record *r = &m->record;
	Dwarf_Addr address = m->profile->address[index].at - 1 - m->map->start + m->map->offset + m->from_file;
	Dwfl_Line *line = dwfl_module_getsrc(m->module, address);
	const char *file = NULL;
	int number = 0;
	GElf_Off offset;
	GElf_Sym symbol;

	memset(r, 0, sizeof *r);
	r->address = index;
	if (line)
		file = dwfl_lineinfo(line, NULL, &number, NULL, NULL, NULL);
	put_line(r, file, number);
	if (send_functions(m, address))
		return;
	put_function(r, dwfl_module_addrinfo(m->module, address, &offset, &symbol, NULL, NULL, NULL));
	if (*r->function || *r->file)
		send_record(r);
}

/* The segment that contains the start of the mapping relates offsets to addresses. */
static bool find_segment(struct module *m)
{
	GElf_Addr bias;
	Elf *elf = dwfl_module_getelf(m->module, &bias);
	size_t count = 0, i, page = (size_t)sysconf(_SC_PAGESIZE);
	GElf_Phdr p;

	if (!elf || elf_getphdrnum(elf, &count))
		return false;
	for (i = 0; i < count && gelf_getphdr(elf, (int)i, &p); i++) {
		if (p.p_type != PT_LOAD || !(p.p_flags & PF_X) || (p.p_offset & -page) > m->map->offset ||
		    p.p_offset + p.p_filesz <= m->map->offset)
			continue;
		m->from_file = p.p_vaddr - p.p_offset + bias;
		return true;
	}
	return false;
}

static int open_map(const struct profile *p, const struct profile_map *map)
{
	static struct mapping m;

	if (!p->pid)
		return regular_file(open(map->path, O_PATH | O_CLOEXEC));
	m = (struct mapping){ .start = map->start, .end = map->end, .offset = map->offset, .device = map->device,
			      .inode = map->inode };
	snprintf(m.path, sizeof m.path, "%s", map->path);
	return mapping_file(p->pid, &m);
}

static void send_all(const struct profile *p, int map)
{
	static const Dwfl_Callbacks callbacks = { .find_debuginfo = find_debug_file,
						  .section_address = dwfl_offline_section_address };
	struct module m = { .profile = p, .map = &p->map[map] };
	int fd = open_map(p, m.map);
	Dwfl *dwfl;
	size_t i;

	find_demangler();
	allow_files(false);
	dwfl = fd >= 0 ? dwfl_begin(&callbacks) : NULL;
	m.module = dwfl ? dwfl_report_elf(dwfl, "mapped", "", fd, 0, true) : NULL;
	if (!m.module || dwfl_report_end(dwfl, NULL, NULL) || !find_segment(&m))
		return;
	for (i = 0; i < p->addresses; i++)
		if (p->address[i].map == map)
			send_places(&m, (uint32_t)i);
	send_record(&(struct record){ .address = NO_MORE });
}

/* In the parent. */
static char *known_text(const char *from, size_t size)
{
	return *from ? text("%.*s", (int)size - 1, from) : NULL;
}

static void accept(struct profile *p, int map, const struct record *r)
{
	struct address *a = r->address < p->addresses ? &p->address[r->address] : NULL;
	struct place *place;

	if (!a || a->map != map || a->places >= MOST_PLACES)
		return;
	a->place = grow(a->place, (a->places + 1) * sizeof *a->place);
	place = &a->place[a->places++];
	place->function = known_text(r->function, sizeof r->function);
	place->file = known_text(r->file, sizeof r->file);
	place->line = r->line;
}

/* Receives one record. False: there are no more. *whole: the child has sent all. */
static bool receive(struct profile *p, int map, int in, double until, bool *whole)
{
	struct pollfd ready = { .fd = in, .events = POLLIN };
	struct record r;
	size_t have = 0;
	ssize_t got;

	while (have < sizeof r) {
		double left = until - seconds_now();

		if (left <= 0 || poll(&ready, 1, (int)(left * 1000) + 1) <= 0)
			return false;
		got = read(in, (char *)&r + have, sizeof r - have);
		if (got <= 0)
			return false;
		have += (size_t)got;
	}
	*whole = r.address == NO_MORE;
	accept(p, map, &r);
	return !*whole;
}

static bool fetching(void)
{
	const char *urls = getenv("DEBUGINFOD_URLS");

	return urls && *urls;
}

/* left: the records that may still be received. */
static void symbolize_map(struct profile *p, int map, size_t *left)
{
	double until = seconds_now() + (fetching() ? MOST_TIME_FETCHING : MOST_TIME);
	bool whole = false;
	sigset_t mask;
	int ends[2];
	pid_t child;

	p->unnamed++;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return;
	child = child_start(&mask);
	if (child == 0) {
		child_confine("hakmem-names", ends[1], &mask, MOST_CPU, MOST_MEMORY);
		send_all(p, map);
		_exit(0);
	}
	close(ends[1]);
	while (child > 0 && *left && receive(p, map, ends[0], until, &whole))
		--*left;
	p->unnamed -= whole;
	close(ends[0]);
	/* Does not wait for the child, which may be in a system call that the kernel cannot
	 * interrupt. */
	if (child > 0) {
		kill(child, SIGKILL);
		waitpid(child, NULL, WNOHANG);
	}
}

void profile_symbolize(struct profile *p)
{
	double until = fetching() ? HUGE_VAL : seconds_now() + MOST_TIME_ALL;
	size_t left = MOST_REPLY / sizeof(struct record), i;
	bool used[MOST_FILES] = { false };

	for (i = 0; i < p->addresses; i++)
		if (p->address[i].map >= 0 && p->address[i].map < MOST_FILES)
			used[p->address[i].map] = true;
	for (i = 0; i < p->maps && i < MOST_FILES; i++)
		if (used[i] && left && seconds_now() < until)
			symbolize_map(p, (int)i, &left);
		else
			p->unnamed += used[i];
}
#else
void profile_symbolize(struct profile *p)
{
	(void)p;
}
#endif
