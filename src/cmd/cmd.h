/*
 * The hakmem command. It is an ordinary program, which uses libc's malloc and stdio and
 * returns an exit status. It shares with the library the table of settings (config/), the
 * layout of the statistics page (stats/page.h), and the code that writes files (os/file.h).
 */
#ifndef HK_CMD_CMD_H
#define HK_CMD_CMD_H

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

#define SONAME "libhakmem.so.1"

/* Exit statuses; those of run are the same as in env(1). */
enum { FOUND = 1, USAGE = 2, LATER = 3, RUN_FAILED = 125, RUN_CANNOT = 126, RUN_NOWHERE = 127 };

/* args.c: a subcommand. takes: the short letters of its options in the common table. */
struct command {
	const char *name, *takes;
	int (*run)(int argc, char **argv);
	int usage;			/* exit status for wrong usage */
	const char *synopsis, *brief, *help;
};
extern const struct command command_run, command_profiles, command_show, command_diff,
	command_lint, command_config, command_check, command_doctor,
	command_stats, command_top, command_profile, command_set, command_trim, command_compare, command_version;

struct args {
	const char *profile, *library, *plot, *output, *load, *prepare, *markdown, *sort, *filter, *base, *format, *rate, *suppressions;
	char **set;			/* HAKMEM_NAME=value, ends in NULL */
	char **file;			/* ends in NULL */
	bool json, prometheus, names, quiet, peers, watch, live, allocated, rows_given, leaks, leak_status_given;
	unsigned rounds, warmup, frames;	/* 0: not given */
	unsigned rows, leak_status;
	double delay, wait, leak, seconds;
	int argc;			/* the arguments after the options */
	char **argv;
};

/* True: continue. False: exit with *status; messages have been printed. */
bool args_read(struct args *a, const struct command *command, int argc, char **argv, int *status);
void command_help(const struct command *command);
/* HAKMEM_NAME=value for NAME=value in any usual spelling; NULL: it is none. */
char *args_setting(const char *given);
void args_add_setting(struct args *a, char *entry);	/* keeps HAKMEM_NAME=value; overrides the others */

/* nearest.c: the name in a NULL-terminated list that was probably meant; or NULL. */
const char *nearest(const char *typed, const char *const *list);

/* say.c: messages, and colours if the output is a terminal. fail prints a message on standard
 * error and returns the status. */
int fail(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));
void warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
enum ink { PLAIN, BOLD, GOOD, BAD, DIM };
const char *ink(enum ink which);	/* for standard output; "" if that is not a terminal */
/* Makes untrusted text one line of ASCII, truncated to so many bytes of it; the caller frees
 * it. Non-ASCII letters are escaped too, because it is not known how the terminal shows a
 * byte above 127. */
char *printable(const char *from, size_t most);
void put_xml(FILE *out, const char *words);	/* printable ASCII, as text of XML */
json_t *json_text(const char *from);	/* NULL becomes null, invalid UTF-8 is escaped */
int print_json(json_t *value);		/* prints it, or an error, and frees it; 0: printed */
const char *plural(double count);	/* the ending of a regular noun: "" or "s" */
char *text(const char *format, ...) __attribute__((format(printf, 1, 2)));
void *grow(void *list, size_t bytes);
int finish(int status);			/* returns FOUND instead if standard output failed */

/* units.c: sizes as text: "1.5 GiB", "1.5G" (at most 5 characters), and the change from
 * before to now as "+1.5G"; each function returns out. */
enum { SIZE_TEXT = 16 };
char *size_text(char *out, size_t bytes);
char *size_short(char *out, size_t bytes);
char *size_change(char *out, size_t before, size_t now);
#define SIZE(bytes) size_text((char[SIZE_TEXT]){ 0 }, bytes)
#define SHORT(bytes) size_short((char[SIZE_TEXT]){ 0 }, bytes)
#define CHANGE(before, now) size_change((char[SIZE_TEXT]){ 0 }, before, now)

/* output.c: make writes a file, which replaces the old one once it is complete. False: an
 * error was printed. */
bool output_made(const char *path, void (*make)(FILE *out, const void *argument), const void *argument);
bool output_possible(const char *path);	/* tests whether it can be written; changes nothing */

/* envfile.c: a file of settings, read line by line. */
struct envfile {
	char *data, *next;
	size_t left;
	unsigned number;		/* of the current line */
	bool ended;			/* the current line ended in a line feed */
};
bool envfile_open(struct envfile *file, const char *path);	/* false: an error was printed */
/* The same for text in memory, which is modified; one byte after it must be writable. */
void envfile_use(struct envfile *file, char *data, size_t size);
void envfile_close(struct envfile *file);
/* The next line, without its line feed and ended by a NUL; NULL: there is none. */
char *envfile_line(struct envfile *file, size_t *length);
/* Why a line that is neither empty nor a comment is not used; NULL: it is used. */
const char *envfile_refuses(const char *line);

/* settings.c: the settings, as the library would read them. */
struct source {
	char **entry;			/* NAME=value; the first entry of a name counts */
	char **origin;
	unsigned count;
};
void source_add(struct source *s, const char *entry, const char *origin);
/* The settings of a file; lines that are left out are reported. False: an error was
 * printed. */
bool source_add_file(struct source *s, const char *path);
/* Adds a profile, or else a file of settings; false: it is neither, which was reported. */
bool source_add_named(struct source *s, const char *name);
/* Adds the settings of the options, the strongest first; false: an error was printed. */
bool source_add_options(struct source *s, const struct args *a);
/* Loads the settings; messages of the library are passed to the callback, without a newline. */
void source_load(const struct source *s, void (*said)(const char *line));
void say_problem(const char *line);
const char *setting_now(unsigned id);	/* of the last load; valid until the next call */
const char *setting_origin(const struct source *s, unsigned id);
int profile_find(const char *name);	/* -1: there is none, which was reported */
int setting_find(const char *name, size_t length);

/* launch.c: starts programs with the library. */
bool library_find(const char *given, char *path, size_t size);
/* Sets up the environment of a program in this process; false: an error was printed. */
bool launch_environment(const struct args *a);
/* Can the kernel restrict a process to huge pages by advice? The second function does that to
 * this process. */
bool huge_pages_by_advice(void);
void huge_pages_advised(void);
void preload_restore(const char *before);	/* restores LD_PRELOAD; NULL: it was not set */
/*
 * The files that the dynamic linker would load with this command (program: NULL), those of
 * LD_PRELOAD first; or, without LD_PRELOAD, with a program that the user has asked to run.
 * Never called for any other program: it may name libraries whose code the linker runs while
 * it lists them (DT_AUDIT).
 */
void linker_list(const char *program, void (*each)(const char *path, void *argument), void *argument);
bool linker_finds(const char *name, char *path, size_t size);
char *linker_of(const char *path);	/* the linker that a program names, or NULL */
bool settings_good(char *const *set);	/* false: an error was printed */
char *program_find(const char *name);	/* searches as execvp does; or NULL */
/* The error of execvp as shells report it: ENOENT if no directory has such a file. */
int program_error(const char *name, int error);

/* obstacle.c: the reason why nothing can be preloaded into a program; NULL: none is known. */
char *check_obstacle(const char *program);
/* Does the dynamic linker ignore LD_PRELOAD for the program? */
bool program_secure(const char *program);
/* The file that the kernel runs in the end; for a script that is another file. NULL: there is
 * no such program. */
char *program_file(const char *name);

/* allocators.c: the allocator, other than HAKMEM, whose library has this path, or -1. */
const char *base_of(const char *path);
int allocator_of(const char *path);
const char *allocator_name(int which);	/* -1: glibc */
bool is_library(const char *path);	/* is it the library of HAKMEM? */

/* elf.c: reads an ELF file; nothing in it is trusted. */
struct elf;
enum elf_kind { ELF_NATIVE, ELF_OTHER, ELF_NONE };
struct elf *elf_open(const char *path);		/* NULL and errno */
struct elf *elf_read(int fd);			/* the same; takes ownership of fd */
bool elf_is_go(const struct elf *elf);
/* Would the program have privileges that its caller lacks, so that LD_PRELOAD is ignored? */
bool elf_secure(const struct elf *elf);
void elf_close(struct elf *elf);
enum elf_kind elf_kind_of(const struct elf *elf);
const char *elf_interpreter(const struct elf *elf);	/* NULL: statically linked */
/* The link-time address of a defined symbol. */
bool elf_symbol(const struct elf *elf, const char *name, size_t *address);
size_t elf_lowest(const struct elf *elf);	/* address of its first page */

/* proc.c: what the kernel reports about a process. */
struct mapping {
	size_t start, end, offset;
	dev_t device;
	unsigned long long inode;
	char path[4096];
};
/* Calls each for every file mapping until it returns true; returns whether it did. */
bool maps_walk(pid_t pid, bool (*each)(const struct mapping *m, void *argument), void *argument);
/* Calls each for every file mapping, and stores the path of the program, up to PATH_MAX bytes.
 * False, and errno: it cannot be read, or the process ended or called exec meanwhile, so that
 * mappings may be missing. */
bool maps_of_program(pid_t pid, char *program, bool (*each)(const struct mapping *m, void *argument), void *argument);
bool process_id(const char *given, pid_t *pid);	/* false: an error was printed */
/* 0: /proc shows the program of this process or thread; otherwise errno. ENOENT: it has none. */
int process_program_error(pid_t pid);
/* The id under which /proc shows the program and the memory of a process: its own, or that of
 * another thread if its main thread has ended. */
pid_t process_thread(pid_t pid);
bool process_hidden(pid_t pid);		/* it exists, but /proc hides it */
bool process_secure(pid_t pid);
/* Its start time in clock ticks; together with the process id this identifies a process. */
unsigned long long process_started(pid_t pid);
/* Does it run or wait for a processor? Is it stopped, by a signal or a debugger? */
bool process_runs(pid_t pid);
bool process_stopped(pid_t pid);
const char *process_advice(void);	/* what to do if access to a process is denied */
/* A variable in the environment that the process was started with, or NULL. */
char *process_variable(pid_t pid, const char *name);
/* Opens the file of a mapping for reading, also in a container; -1: it is not a regular
 * file or no longer exists. A file that has replaced it is not opened. */
int mapping_file(pid_t pid, const struct mapping *m);
/* The same for the file of an O_PATH descriptor, which is closed. */
int regular_file(int found);
void path_there(char *path);		/* removes " (deleted)" */
FILE *file_open(const char *path);	/* for reading, or NULL */
char *file_line(const char *path);	/* the first line, or NULL */
double seconds_now(void);

/* memory.c: the memory of a process in bytes, as the kernel reports it. rollup_read is exact
 * and may take milliseconds or block. Both: false if there is nothing to read. */
struct rollup {
	size_t rss, pss, swap, anonymous;
};
bool rollup_read(pid_t pid, struct rollup *rollup);
bool memory_quick(pid_t pid, size_t *rss, size_t *anonymous);

#endif
