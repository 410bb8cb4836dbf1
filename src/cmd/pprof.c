/*
 * Heap profiles as pprof reads them: a message of profile.proto, compressed by gzip. The message
 * has only numbers and nested messages, so that an encoder of protocol buffers is not needed.
 */
#include "cmd/profile.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#ifdef HAVE_ZLIB
#include <zlib.h>
#endif

struct bytes {
	unsigned char *data;
	size_t size, room;
};

static void put(struct bytes *b, const void *data, size_t size)
{
	if (b->size + size > b->room) {
		b->room = 2 * b->room + size;
		b->data = grow(b->data, b->room);
	}
	if (size)
		memcpy(b->data + b->size, data, size);
	b->size += size;
}

static void put_number(struct bytes *b, uint64_t value)
{
	unsigned char byte[10];
	size_t size = 0;

	for (; value > 127; value >>= 7)
		byte[size++] = (unsigned char)(value | 128);
	byte[size++] = (unsigned char)value;
	put(b, byte, size);
}

enum { NUMBER = 0, LENGTH = 2 };

static void put_field(struct bytes *b, unsigned field, uint64_t value)
{
	put_number(b, field << 3 | NUMBER);
	put_number(b, value);
}

static void put_block(struct bytes *b, unsigned field, const void *data, size_t size)
{
	put_number(b, field << 3 | LENGTH);
	put_number(b, size);
	put(b, data, size);
}

/* Frees the inner message. */
static void put_message(struct bytes *b, unsigned field, struct bytes *inner)
{
	put_block(b, field, inner->data, inner->size);
	free(inner->data);
	*inner = (struct bytes){ 0 };
}

/* The numbers of profile.proto. */
enum {
	PROFILE_SAMPLE_TYPE = 1, PROFILE_SAMPLE = 2, PROFILE_MAPPING = 3, PROFILE_LOCATION = 4, PROFILE_FUNCTION = 5,
	PROFILE_STRING = 6, PROFILE_TIME = 9, PROFILE_PERIOD_TYPE = 11, PROFILE_PERIOD = 12, PROFILE_DEFAULT = 14,
	VALUE_TYPE = 1, VALUE_UNIT = 2,
	SAMPLE_LOCATION = 1, SAMPLE_VALUE = 2,
	MAPPING_ID = 1, MAPPING_START = 2, MAPPING_LIMIT = 3, MAPPING_OFFSET = 4, MAPPING_FILE = 5, MAPPING_FUNCTIONS = 7,
	MAPPING_FILES = 8, MAPPING_LINES = 9, MAPPING_INLINED = 10,
	LOCATION_ID = 1, LOCATION_MAPPING = 2, LOCATION_ADDRESS = 3, LOCATION_LINE = 4,
	LINE_FUNCTION = 1, LINE_LINE = 2,
	FUNCTION_ID = 1, FUNCTION_NAME = 2, FUNCTION_SYSTEM_NAME = 3, FUNCTION_FILE = 4,
};

/* strings and functions: the numbers of those that have been written, by their text. */
struct encoder {
	const struct profile *p;
	struct bytes out;
	json_t *strings, *functions;
};

/* The number of a text; *known: it had one before. */
static uint64_t number_of(json_t *table, const char *text, bool *known)
{
	json_t *found = json_object_get(table, text);
	size_t count = json_object_size(table);

	*known = found;
	if (!found)
		json_object_set_new_nocheck(table, text, json_integer((json_int_t)count));
	return found ? (uint64_t)json_integer_value(found) : count;
}

static uint64_t string(struct encoder *e, const char *text)
{
	char *shown = printable(text, 4096);
	bool known;
	uint64_t number = number_of(e->strings, shown, &known);

	if (!known)
		put_block(&e->out, PROFILE_STRING, shown, strlen(shown));
	free(shown);
	return number;
}

static uint64_t function(struct encoder *e, const struct place *place)
{
	const char *name = place->function ? place->function : "", *file = place->file ? place->file : "";
	char *both = text("%s\n%s", name, file);
	bool known;
	uint64_t number = number_of(e->functions, both, &known) + 1;
	struct bytes inner = { 0 };

	free(both);
	if (known)
		return number;
	put_field(&inner, FUNCTION_ID, number);
	put_field(&inner, FUNCTION_NAME, string(e, name));
	put_field(&inner, FUNCTION_SYSTEM_NAME, string(e, name));
	put_field(&inner, FUNCTION_FILE, string(e, file));
	put_message(&e->out, PROFILE_FUNCTION, &inner);
	return number;
}

static void put_type(struct encoder *e, unsigned field, const char *type, const char *unit)
{
	struct bytes inner = { 0 };

	put_field(&inner, VALUE_TYPE, string(e, type));
	put_field(&inner, VALUE_UNIT, string(e, unit));
	put_message(&e->out, field, &inner);
}

static void put_maps(struct encoder *e)
{
	bool *named = grow(NULL, e->p->maps + 1);
	size_t i;

	memset(named, 0, e->p->maps + 1);
	for (i = 0; i < e->p->addresses; i++)
		if (e->p->address[i].map >= 0 && e->p->address[i].places)
			named[e->p->address[i].map] = true;
	for (i = 0; i < e->p->maps; i++) {
		const struct profile_map *m = &e->p->map[i];
		struct bytes inner = { 0 };
		unsigned field;

		put_field(&inner, MAPPING_ID, i + 1);
		put_field(&inner, MAPPING_START, m->start);
		put_field(&inner, MAPPING_LIMIT, m->end);
		put_field(&inner, MAPPING_OFFSET, m->offset);
		put_field(&inner, MAPPING_FILE, string(e, m->path));
		/* Otherwise pprof looks for names itself. */
		for (field = MAPPING_FUNCTIONS; named[i] && field <= MAPPING_INLINED; field++)
			put_field(&inner, field, 1);
		put_message(&e->out, PROFILE_MAPPING, &inner);
	}
	free(named);
}

static void put_locations(struct encoder *e)
{
	struct bytes inner = { 0 }, line = { 0 };
	size_t i;
	unsigned j;

	for (i = 0; i < e->p->addresses; i++) {
		const struct address *a = &e->p->address[i];

		put_field(&inner, LOCATION_ID, i + 1);
		if (a->map >= 0)
			put_field(&inner, LOCATION_MAPPING, (uint64_t)a->map + 1);
		put_field(&inner, LOCATION_ADDRESS, a->at - 1);
		for (j = 0; j < a->places; j++) {
			put_field(&line, LINE_FUNCTION, function(e, &a->place[j]));
			put_field(&line, LINE_LINE, a->place[j].line);
			put_message(&inner, LOCATION_LINE, &line);
		}
		put_message(&e->out, PROFILE_LOCATION, &inner);
	}
}

static uint64_t rounded(double value)
{
	const double most = 4e18;

	value = value > most ? most : value < -most ? -most : value;
	return (uint64_t)(int64_t)value;
}

static void put_sum(struct bytes *b, const struct sum *sum)
{
	put_field(b, SAMPLE_VALUE, rounded(sum_blocks(sum)));
	put_field(b, SAMPLE_VALUE, rounded(sum->weight));
}

static void put_sites(struct encoder *e)
{
	struct bytes inner = { 0 };
	size_t i;
	uint32_t frame;

	for (i = 0; i < e->p->sites; i++) {
		const struct site *site = &e->p->site[i];

		if (!site->depth)
			continue;
		for (frame = 0; frame < site->depth; frame++)
			put_field(&inner, SAMPLE_LOCATION, (uint64_t)(profile_address(e->p,
				e->p->frame[site->first + frame]) - e->p->address) + 1);
		put_sum(&inner, &site->all);
		put_sum(&inner, &site->live);
		put_message(&e->out, PROFILE_SAMPLE, &inner);
	}
}

static void encode(struct encoder *e, const struct shown *s)
{
	string(e, "");
	put_type(e, PROFILE_SAMPLE_TYPE, "alloc_objects", "count");
	put_type(e, PROFILE_SAMPLE_TYPE, "alloc_space", "bytes");
	put_type(e, PROFILE_SAMPLE_TYPE, "inuse_objects", "count");
	put_type(e, PROFILE_SAMPLE_TYPE, "inuse_space", "bytes");
	put_type(e, PROFILE_PERIOD_TYPE, "space", "bytes");
	put_field(&e->out, PROFILE_PERIOD, rounded((double)e->p->mean));
	put_field(&e->out, PROFILE_DEFAULT, string(e, s->view == VIEW_LIVE ? "inuse_space" : "alloc_space"));
	if (e->p->pid)
		put_field(&e->out, PROFILE_TIME, (uint64_t)time(NULL) * 1000000000);
	put_maps(e);
	put_locations(e);
	put_sites(e);
}

#ifdef HAVE_ZLIB
static void write_compressed(FILE *out, const struct bytes *b)
{
	enum { GZIP = 16 };
	static unsigned char piece[1 << 16];
	z_stream z = { 0 };

	if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, MAX_WBITS + GZIP, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		exit(fail(RUN_FAILED, "out of memory"));
	z.next_in = b->data;
	z.avail_in = (uInt)b->size;
	do {
		z.next_out = piece;
		z.avail_out = sizeof piece;
		deflate(&z, Z_FINISH);
		fwrite(piece, 1, sizeof piece - z.avail_out, out);
	} while (!z.avail_out);
	deflateEnd(&z);
}
#else
/* pprof reads this too. */
static void write_compressed(FILE *out, const struct bytes *b)
{
	fwrite(b->data, 1, b->size, out);
}
#endif

void profile_write_pprof(FILE *out, const struct shown *s)
{
	struct encoder e = { .p = s->profile, .strings = json_object(), .functions = json_object() };

	encode(&e, s);
	write_compressed(out, &e.out);
	json_decref(e.strings);
	json_decref(e.functions);
	free(e.out.data);
}
