// SPDX-License-Identifier: MIT
/* A library to be loaded and unloaded. */
int lib_function(int x);

int lib_function(int x)
{
	return x + 1;
}
