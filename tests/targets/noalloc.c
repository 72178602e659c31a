// SPDX-License-Identifier: MIT
/* A static program without a libc, so without an allocator: echoes its stdin after "ready". */
static long call(long number, long a, long b, long c)
{
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c)
			 : "rcx", "r11", "memory");
	return result;
}

void _start(void)
{
	char c;

	call(1, 1, (long)"ready\n", 6);
	while (call(0, 0, (long)&c, 1) == 1)
		call(1, 1, (long)&c, 1);
	call(231, 0, 0, 0);
}
