/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_TESTS_PUT_FILE_H
#define MEMATTACH_TESTS_PUT_FILE_H

/* Small files of a test, in a directory of its own. All of these fail the test if they cannot. */

/* Writes text into the file name of dir, anew if there is one. */
void put_file(const char *dir, const char *name, const char *text);

/* Removes it; or a directory, which has to be empty. */
void drop_file(const char *dir, const char *name);

#endif
