/*
 * The command. It is an ordinary program, which uses libc's malloc and stdio and returns
 * an exit status. From the library it has compiled in the table of settings (config/),
 * the layout of the statistics page (stats/page.h), and the code that writes files
 * (os/file.h).
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

/* What the command ends with; run has those of env(1). */
enum { FOUND = 1, USAGE = 2, RUN_FAILED = 125, RUN_CANNOT = 126, RUN_NOWHERE = 127 };

/* args.c: one subcommand. takes: the short letters of the options that it
 * has, from the one table of options there. */
struct command {
	const char *name, *takes;
	int (*run)(int argc, char **argv);
	int usage;			/* its status for a bad call */
	const char *synopsis, *brief, *help;
};
extern const struct command command_run, command_profiles, command_show, command_diff,
	command_lint, command_config, command_check, command_doctor,
	command_stats, command_top, command_compare, command_version;

struct args {
	const char *profile, *library, *plot, *output, *load, *prepare, *markdown, *sort, *filter;
	char **set;			/* HAKMEM_NAME=value, ends in NULL */
	char **file;			/* ends in NULL */
	bool json, prometheus, names, quiet, peers, watch;
	unsigned rounds, warmup, frames;	/* 0: not given */
	double delay;
	int argc;			/* what follows the options */
	char **argv;
};

/* True: go on. False: end with *status; all is said. */
bool args_read(struct args *a, const struct command *command, int argc, char **argv, int *status);
void command_help(const struct command *command);

/* nearest.c: the name of a list, which ends in NULL, that was probably meant; or NULL. */
const char *nearest(const char *typed, const char *const *list);

/* say.c: messages, and words in colour where it is a terminal. fail says why
 * on standard error and returns the status. */
int fail(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));
void warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
enum ink { PLAIN, BOLD, GOOD, BAD, DIM };
const char *ink(enum ink which);	/* for standard output; "" in a file */
/* Makes untrusted text one line of ASCII, truncated to so many bytes of it; the caller
 * frees it. Non-ASCII letters are escaped too, because it is not known how the terminal
 * shows a byte above 127. */
char *printable(const char *from, size_t most);
json_t *json_text(const char *from);	/* NULL as null, bad UTF-8 escaped */
int print_json(json_t *value);		/* prints all of it and frees it; 0 or reports why not */
char *text(const char *format, ...) __attribute__((format(printf, 1, 2)));
void *grow(void *list, size_t bytes);
int finish(int status);			/* FOUND if standard output failed */

/* units.c: sizes for people, as "1.5 GiB", as "1.5G" (at most 5 characters), and the
 * second less the first as "+1.5G"; they return out. */
enum { SIZE_TEXT = 16 };
char *size_text(char *out, size_t bytes);
char *size_short(char *out, size_t bytes);
char *size_change(char *out, size_t before, size_t now);
#define SIZE(bytes) size_text((char[SIZE_TEXT]){ 0 }, bytes)
#define SHORT(bytes) size_short((char[SIZE_TEXT]){ 0 }, bytes)
#define CHANGE(before, now) size_change((char[SIZE_TEXT]){ 0 }, before, now)

/* output.c: a file that replaces the old one when it is complete, of what a function writes.
 * False: an error was printed. */
bool output_made(const char *path, void (*make)(FILE *out, const void *argument), const void *argument);
bool output_possible(const char *path);	/* tries it, and changes nothing */

/* envfile.c: a file of settings, line by line. */
struct envfile {
	char *data, *next;
	size_t left;
	unsigned number;		/* of the current line */
	bool ended;			/* the current line ended in a line feed */
};
bool envfile_open(struct envfile *file, const char *path);	/* false: said why */
/* The same for text in memory, which is modified; one byte after it must be writable. */
void envfile_use(struct envfile *file, char *data, size_t size);
void envfile_close(struct envfile *file);
/* The next line, without its line feed and ended by a NUL; NULL: there is none. */
char *envfile_line(struct envfile *file, size_t *length);
/* Why a line that is neither empty nor a comment is not used; NULL: it is used. */
const char *envfile_refuses(const char *line);

/* settings.c: the table, as the library would read it. */
struct source {
	char **entry;			/* NAME=value; the first of a name counts */
	char **origin;
	unsigned count;
};
void source_add(struct source *s, const char *entry, const char *origin);
/* The settings of a file; lines that are left out are reported. False: an error was
 * printed. */
bool source_add_file(struct source *s, const char *path);
/* A profile by its name, else a file of settings: false and a message if neither. */
bool source_add_named(struct source *s, const char *name);
/* The settings of the options, the strongest first; false: an error was printed. */
bool source_add_options(struct source *s, const struct args *a);
/* Loads; what the library would say goes to the callback, without newline. */
void source_load(const struct source *s, void (*said)(const char *line));
void say_problem(const char *line);
const char *setting_now(unsigned id);	/* of the last load; until the next call */
const char *setting_origin(const struct source *s, unsigned id);
int profile_find(const char *name);	/* -1 and a message if there is none */
int setting_find(const char *name, size_t length);

/* launch.c: starting programs on the library. */
bool library_find(const char *given, char *path, size_t size);
/* The environment of a program, changed in this process; false: said why. */
bool launch_environment(const struct args *a);
/* Can a process have huge pages by advice only, and from now on by advice only? */
bool huge_pages_by_advice(void);
void huge_pages_advised(void);
void preload_restore(const char *before);	/* LD_PRELOAD; NULL: it was not set */
/* The files that the dynamic linker would load with this command (program: NULL), those of
 * LD_PRELOAD first; or without LD_PRELOAD with a program that the user wants to be run.
 * Never done for any other program: it may name libraries whose code the linker runs while
 * it lists them (DT_AUDIT). */
void linker_list(const char *program, void (*each)(const char *path, void *argument), void *argument);
bool linker_finds(const char *name, char *path, size_t size);
char *linker_of(const char *path);	/* the one that a program names, or NULL */
bool settings_good(char *const *set);	/* false: said why */
char *program_find(const char *name);	/* as execvp would, or NULL */
/* The error of execvp as shells report it: ENOENT if no directory has such a file. */
int program_error(const char *name, int error);

/* obstacle.c: why nothing can be preloaded into a program; NULL: it can, or may. */
char *check_obstacle(const char *program);
/* Does the dynamic linker ignore LD_PRELOAD for it? */
bool program_secure(const char *program);
/* The file that the kernel runs in the end, which is another one for a script; NULL: there
 * is no such program. */
char *program_file(const char *name);

/* allocators.c: an allocator other than HAKMEM by the path of its library, or -1. */
const char *base_of(const char *path);
int allocator_of(const char *path);
const char *allocator_name(int which);	/* -1: glibc */
bool is_library(const char *path);	/* of HAKMEM */

/* elf.c: reads an ELF file; nothing in it is trusted. */
struct elf;
enum elf_kind { ELF_NATIVE, ELF_OTHER, ELF_NONE };
struct elf *elf_open(const char *path);		/* NULL and errno */
struct elf *elf_read(int fd);			/* the same; takes ownership of fd */
bool elf_is_go(const struct elf *elf);
/* Would the program have rights that its caller has not, so that LD_PRELOAD is ignored? */
bool elf_secure(const struct elf *elf);
void elf_close(struct elf *elf);
enum elf_kind elf_kind(const struct elf *elf);
const char *elf_interpreter(const struct elf *elf);	/* NULL: static */
/* The address that a defined symbol was linked to. */
bool elf_symbol(const struct elf *elf, const char *name, size_t *address);
size_t elf_lowest(const struct elf *elf);	/* address of its first page */

/* proc.c: what the kernel reports about a process. */
struct mapping {
	size_t start, end, offset;
	dev_t device;
	unsigned long long inode;
	char path[4096];
};
/* Calls each for every file mapping until it returns true; that, or false. */
bool maps_walk(pid_t pid, bool (*each)(const struct mapping *m, void *argument), void *argument);
bool process_id(const char *given, pid_t *pid);	/* false: said why */
bool process_hidden(pid_t pid);		/* it exists, but /proc does not show it */
bool process_secure(pid_t pid);
/* When it started, in ticks of the kernel: with its id, this tells it from others. */
unsigned long long process_started(pid_t pid);
const char *process_advice(void);	/* when one may not be looked at */
/* A variable of the environment that it was started with, or NULL. */
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

#endif
