// SPDX-License-Identifier: MIT
// Mangled names: C++ of its own, and Rust ones, old and new, as labels of assembler code.
#include <string>
#include <vector>

#include "talk.h"

namespace shop
{
struct basket {
	NOINLINE int add(const std::vector<std::string> &items, int n) const;
};

int basket::add(const std::vector<std::string> &items, int n) const
{
	KEEP(n);
	return n + (int)items.size();
}

namespace
{
template <typename T> NOINLINE T hidden(T x)
{
	KEEP(x);
	return x;
}
} // namespace
} // namespace shop

extern "C" void rust_legacy(void) __asm__("_ZN4core3fmt5write17h0123456789abcdefE");
extern "C" void rust_v0(void) __asm__("_RNvC6_123foo3bar");

__asm__(".text\n"
	".globl _ZN4core3fmt5write17h0123456789abcdefE\n"
	".type _ZN4core3fmt5write17h0123456789abcdefE, @function\n"
	"_ZN4core3fmt5write17h0123456789abcdefE: ret; nop\n"
	".size _ZN4core3fmt5write17h0123456789abcdefE, 2\n"
	".globl _RNvC6_123foo3bar\n"
	".type _RNvC6_123foo3bar, @function\n"
	"_RNvC6_123foo3bar: ret; nop\n"
	".size _RNvC6_123foo3bar, 2\n");

int main()
{
	int (shop::basket::*add)(const std::vector<std::string> &, int) const = &shop::basket::add;
	shop::basket basket;
	unsigned long address;

	basket.add({}, 1);
	shop::hidden(1L);
	__builtin_memcpy(&address, &add, sizeof(address));
	say("ready");
	while (hear()) {
		say("member %lx", address);
		say("template %lx", (unsigned long)&shop::hidden<long>);
		say("rust_legacy %lx", (unsigned long)&rust_legacy);
		say("rust_v0 %lx", (unsigned long)&rust_v0);
		say("end");
	}
	return 0;
}
