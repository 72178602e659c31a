// SPDX-License-Identifier: MIT
/*
 * Workload E: std::map<std::string, std::vector<std::string>>, built and dropped, over and over.
 *
 *	maps ROUNDS
 *
 * A round builds a map with KEYS keys, half of them too long to live in the string
 * itself, with vectors that grow as they are filled, then drops it. Prints the milliseconds of
 * one: "work 2.75".
 */
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

constexpr unsigned KEYS = 2000;

using book = std::map<std::string, std::vector<std::string>>;

static std::string key_of(unsigned number)
{
	std::string key = std::to_string(number * 2654435761U % 1000003);

	return number % 2 ? "a key that is rather long: " + key : key;
}

static void fill(book &book)
{
	for (unsigned i = 0; i < KEYS; i++) {
		std::vector<std::string> &values = book[key_of(i)];

		for (unsigned n = 0; n < i % 8; n++)
			values.push_back(std::string(4 + 8 * n, 'v'));
	}
}

/* Something to look at, so that none of it is left out. */
static size_t weigh(const book &book)
{
	size_t bytes = 0;

	for (const auto &entry : book)
		for (const std::string &value : entry.second)
			bytes += value.size();
	return bytes;
}

int main(int argc, char **argv)
{
	long rounds = argc == 2 ? std::atol(argv[1]) : 0;
	size_t bytes = 0;

	if (rounds < 1) {
		std::fputs("usage: maps ROUNDS\n", stderr);
		return 2;
	}
	auto start = std::chrono::steady_clock::now();
	for (long i = 0; i < rounds; i++) {
		book book;

		fill(book);
		bytes += weigh(book);
	}
	std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
	if (bytes == 0)
		return 1;
	std::printf("work %.3f\n", took.count() / static_cast<double>(rounds));
	return 0;
}
