// Heavy on templates and on the standard library: work for the compiler.
#include <algorithm>
#include <array>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <regex>
#include <string>
#include <tuple>
#include <unordered_map>
#include <variant>
#include <vector>

template <int N> struct Chain {
	using type = decltype(std::tuple_cat(std::declval<typename Chain<N - 1>::type>(),
					     std::declval<std::tuple<std::array<int, N>>>()));
};
template <> struct Chain<0> { using type = std::tuple<>; };

template <std::size_t... I> static std::size_t sizes(std::index_sequence<I...>)
{
	return (sizeof(std::get<I>(std::declval<typename Chain<sizeof...(I)>::type>())) + ...);
}

template <int N> static long table(const std::string &word)
{
	std::map<std::string, std::vector<std::variant<int, std::string, double>>> m;

	for (int i = 0; i < 50; i++) {
		auto &v = m[word + std::to_string(i * N % 17)];
		v.emplace_back(i);
		v.emplace_back(std::to_string(i));
		v.emplace_back(i * 0.5);
	}
	long sum = 0;
	for (auto &[key, values] : m)
		for (auto &value : values)
			std::visit([&](auto &x) {
				if constexpr (std::is_same_v<std::decay_t<decltype(x)>, std::string>)
					sum += long(x.size() * N);
				else
					sum += long(x);
			}, value);
	return sum;
}

template <int... N> static long tables(std::integer_sequence<int, N...>)
{
	return (table<N>("w") + ...);
}

int main()
{
	std::map<std::string, int> m;
	std::unordered_map<int, std::shared_ptr<std::function<int(int)>>> f;
	std::regex r("([0-9])\\1");
	int n = 0;

	for (int i = 0; i < 1000; i++) {
		m[std::to_string(i * 7919 % 1000)] += i;
		f[i % 37] = std::make_shared<std::function<int(int)>>([i](int x) { return x + i; });
	}
	for (auto &p : m)
		n += std::regex_search(p.first, r);
	for (int i = 0; i < 37; i++)
		n = (*f[i])(n);
	std::cout << n << ' ' << sizes(std::make_index_sequence<40>()) << ' '
		  << tables(std::make_integer_sequence<int, 14>()) << '\n';
}
