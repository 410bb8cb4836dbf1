/* As torsocks does, for programs that call the kernel by number. */
#include "wrappers/wrap.h"

#include <stdarg.h>
#include <unistd.h>

long syscall(long number, ...)
{
	static long (*real)(long, ...);
	long argument[6];
	va_list list;
	int i;

	va_start(list, number);
	for (i = 0; i < 6; i++)
		argument[i] = va_arg(list, long);
	va_end(list);
	if (!real)
		*(void **)&real = look_up("syscall");
	use_heap();
	return real(number, argument[0], argument[1], argument[2], argument[3], argument[4], argument[5]);
}
