/* The circumstances in which hakmem compare measures. */
#include "cmd/compare.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

/* The time used on all processors, including time taken by a hypervisor; false: the kernel
 * does not report it. */
static bool used(double *seconds)
{
	double user, nice, system, irq, soft, stolen;
	char *line = file_line("/proc/stat");
	bool good = line && sscanf(line, "cpu %lf %lf %lf %*f %*f %lf %lf %lf", &user, &nice, &system, &irq, &soft,
				   &stolen) == 6;

	if (good)
		*seconds = (user + nice + system + irq + soft + stolen) / (double)sysconf(_SC_CLK_TCK);
	free(line);
	return good;
}

static double used_by(int who)
{
	struct rusage usage;

	getrusage(who, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static double used_here(void)
{
	return used_by(RUSAGE_SELF) + used_by(RUSAGE_CHILDREN);
}

struct use machine_use(void)
{
	struct use u = { .when = seconds_now(), .here = used_here() };

	u.known = used(&u.all);
	return u;
}

double used_by_others(const struct use *before)
{
	struct use now = machine_use();
	double others = now.all - before->all - (now.here - before->here);
	double most = (now.when - before->when) * (double)sysconf(_SC_NPROCESSORS_ONLN);

	return now.known && before->known && others > 0 && most > 0 ? others / most : 0;
}

static char *quoted_command(const struct args *a)
{
	char *all = text("%s", ""), *word, *more;
	int i;

	for (i = 0; i < a->argc; i++) {
		word = printable(a->argv[i], 400);
		more = text(*word && !strpbrk(word, " '\"$&;<>|*?()") ? "%s%s%s" : "%s%s'%s'", all, i ? " " : "", word);
		free(word);
		free(all);
		all = more;
	}
	if (!a->load)
		return all;
	word = printable(a->load, 400);
	more = text("%s, driven by: %s", all, word);
	free(word);
	free(all);
	return more;
}

static char *processor(void)
{
	char *line = NULL, *name = NULL;
	FILE *in = fopen("/proc/cpuinfo", "re");
	size_t room = 0;

	while (in && !name && getline(&line, &room, in) > 0)
		if (!strncmp(line, "model name", 10) && strchr(line, ':')) {
			line[strcspn(line, "\n")] = 0;
			name = printable(strchr(line, ':') + 2, 60);
		}
	free(line);
	if (in)
		fclose(in);
	return name;
}

struct setting describe(const struct args *a)
{
	struct setting s = { .command = quoted_command(a), .set = a->set };
	char *name = processor(), date[32];
	struct utsname kernel;
	time_t now = time(NULL);
	long processors = sysconf(_SC_NPROCESSORS_ONLN);

	uname(&kernel);
	strftime(date, sizeof date, "%Y-%m-%d", localtime(&now));
	s.date = text("%s", date);
	s.machine = text("%s, %ld processor%s, Linux %.40s, HAKMEM %s", name ? name : kernel.machine, processors,
			 plural(processors), kernel.release, PACKAGE_VERSION);
	free(name);
	return s;
}
