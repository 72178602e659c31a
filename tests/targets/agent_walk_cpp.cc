// SPDX-License-Identifier: MIT
// Frames of C++: a virtual call, a lambda in std::sort, an exception being handled, a destructor.
#include <algorithm>
#include <stdexcept>
#include <vector>

typedef void (*function)();

namespace
{
struct base {
	virtual ~base()
	{
	}
	virtual int run(function f) = 0;
};

struct derived : base {
	function last = nullptr;

	~derived() override
	{
		if (last)
			last();
	}

	int run(function f) override
	{
		std::vector<int> numbers = {3, 1, 2};

		std::sort(numbers.begin(), numbers.end(), [f](int a, int b) {
			f();
			return a < b;
		});
		last = f;
		return numbers[0];
	}
};

[[gnu::noinline]] int thrower(base &b, function f)
{
	int n = b.run(f);

	if (n == 1)
		throw std::runtime_error("one");
	return n;
}
} // namespace

extern "C" void agent_walk_cpp(function f)
{
	try {
		derived d;

		thrower(d, f);
	} catch (const std::exception &) {
		f();
	}
}
