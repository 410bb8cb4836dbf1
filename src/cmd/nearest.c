#include "cmd/cmd.h"
#include "config/settings.h"

#include <string.h>

const char *nearest(const char *typed, const char *const *list)
{
	enum { FAR = 5 };		/* a typing error is less; see hk_name_distance() */
	unsigned best = FAR, far;
	const char *found = NULL;

	for (; *list; list++) {
		far = hk_name_distance(typed, strcspn(typed, "="), *list);
		if (far < best) {
			best = far;
			found = *list;
		}
	}
	return found;
}
