/* RSS over time, drawn by gnuplot. */
#include "cmd/compare.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *terminal_for(const char *path)
{
	const char *dot = strrchr(path, '.');

	if (dot && !strcmp(dot, ".svg"))
		return "svg size 900,500 dynamic background rgb 'white'";
	if (dot && !strcmp(dot, ".png"))
		return "pngcairo size 900,500";
	return NULL;
}

bool can_plot(const char *path)
{
	char *gnuplot = program_find("gnuplot");

	if (!terminal_for(path))
		warn("--plot takes a file that ends in .svg or .png, not %s", path);
	else if (!gnuplot)
		warn("--plot needs gnuplot; next: sudo apt install gnuplot-nox");
	else if (strpbrk(path, "'\n"))
		warn("--plot takes no quotes in the name of the file");
	else
		return true;
	return false;
}

static void put_title(FILE *out, const char *title)
{
	fputs("set title '", out);
	for (; *title; title++)
		if (*title >= ' ' && *title <= '~')
			fputs(*title == '\'' ? "''" : (char[]){ *title, 0 }, out);
	fputs("' noenhanced\n", out);
}

static void put_curves(FILE *out, const struct contender *list, unsigned count, unsigned round)
{
	unsigned i, j;

	for (i = 0; i < count; i++) {
		const struct run *r = &list[i].run[round];

		fprintf(out, "$d%u << EOD\n", i);
		for (j = 0; j < r->samples; j++)
			fprintf(out, "%.6f %.3f\n", r->curve[j].when, r->curve[j].bytes / (1 << 20));
		/* gnuplot refuses empty data. */
		fprintf(out, "%.6f %.3f\nEOD\n", r->samples ? r->curve[r->samples - 1].when : 0,
			(r->samples ? r->curve[r->samples - 1].bytes : r->figure[PEAK]) / (1 << 20));
	}
	fputs("plot", out);
	for (i = 0; i < count; i++)
		fprintf(out, "%s $d%u using 1:2 with lines lw 2 title '%s' noenhanced", i ? "," : "", i, list[i].name);
	fputc('\n', out);
}

bool plot(const char *path, const struct contender *list, unsigned count, unsigned round,
	  const char *title)
{
	FILE *out;
	int status;

	signal(SIGPIPE, SIG_IGN);
	out = popen("gnuplot", "we");
	if (!out) {
		warn("cannot start gnuplot: %s", strerror(errno));
		return false;
	}
	fprintf(out, "set terminal %s\nset output '%s'\n", terminal_for(path), path);
	put_title(out, title);
	fputs("set xlabel 'seconds'\nset ylabel 'RSS, MiB'\nset yrange [0:*]\nset key outside right\nset grid\n", out);
	put_curves(out, list, count, round);
	status = pclose(out);
	signal(SIGPIPE, SIG_DFL);
	if (status)
		warn("gnuplot could not write %s", path);
	return !status;
}
