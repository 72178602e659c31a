// SPDX-License-Identifier: MIT
/* A C++ program as people write it, with a leak: "add N" makes N sessions that are never dropped. */
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "talk.h"

namespace shop
{
class session
{
      public:
	session(int number, const std::string &user) : user_(user), history_(50, number)
	{
	}

      private:
	std::string user_;
	std::vector<int> history_;
};

class server
{
      public:
	NOINLINE void open_session(int number)
	{
		std::string user =
			"a user with a rather long name, number " + std::to_string(number);
		sessions_[user] = std::make_unique<session>(number, user);
	}

	size_t count() const
	{
		return sessions_.size();
	}

      private:
	std::map<std::string, std::unique_ptr<session>> sessions_;
};
} // namespace shop

int main()
{
	shop::server server;
	const char *line, *rest;
	int next = 0;

	say("ready");
	while ((line = hear())) {
		rest = after(line, "add");
		for (int i = 0; rest && i < atoi(rest); i++)
			server.open_session(next++);
		say("sessions %zu", server.count());
	}
	return 0;
}
