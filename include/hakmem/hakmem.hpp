/**
 * @file
 * @brief HAKMEM for containers of C++17: a standard allocator and a memory
 * resource, both over the hak_ functions.
 *
 * They use HAKMEM whatever malloc() and operator new are in the program. All of
 * it is in this header; a program links the library as for <hakmem/hakmem.h>.
 */
#ifndef HAKMEM_HAKMEM_HPP
#define HAKMEM_HAKMEM_HPP

#include <hakmem/hakmem.h>

#include <cstddef>
#include <cstdlib>
#include <limits>
#include <new>
#include <type_traits>

#if defined __has_include
#if __has_include(<memory_resource>)
#include <memory_resource>
#endif
#endif

namespace hakmem {

/// What is not for users of this header.
namespace detail {

/// The alignment of every block.
constexpr std::size_t alignment = 16;

template <class Exception> [[noreturn]] void fail()
{
#ifdef __cpp_exceptions
	throw Exception();
#else
	std::abort();
#endif
}

inline void *allocate(std::size_t size, std::size_t align)
{
	void *block = align > alignment ? hak_aligned_alloc(align, size) : hak_malloc(size);

	if (!block)
		fail<std::bad_alloc>();
	return block;
}

inline void deallocate(void *block, std::size_t size, std::size_t align) noexcept
{
	if (align > alignment)
		hak_free_aligned_sized(block, align, size);
	else
		hak_free_sized(block, size);
}

} // namespace detail

/**
 * @brief An allocator for standard containers.
 *
 * It has no state: any instance frees what another one allocated.
 *
 *     std::vector<int, hakmem::allocator<int>> numbers;
 */
template <class T> class allocator {
public:
	using value_type = T;
	using size_type = std::size_t;
	using difference_type = std::ptrdiff_t;
	using propagate_on_container_move_assignment = std::true_type;
	using is_always_equal = std::true_type;

	constexpr allocator() noexcept = default;

	/// What a container uses to allocate its own nodes.
	template <class U> constexpr allocator(const allocator<U> &) noexcept
	{
	}

	/**
	 * @brief Memory for @p count objects, aligned for T.
	 * @throw std::bad_array_new_length if their size is no size_t.
	 * @throw std::bad_alloc if there is no memory.
	 *
	 * Without exceptions the program is aborted instead.
	 */
	[[nodiscard]] T *allocate(std::size_t count)
	{
		if (count > std::numeric_limits<std::size_t>::max() / sizeof(T))
			detail::fail<std::bad_array_new_length>();
		return static_cast<T *>(detail::allocate(count * sizeof(T), alignof(T)));
	}

	/// Frees what allocate(@p count) returned.
	void deallocate(T *block, std::size_t count) noexcept
	{
		detail::deallocate(block, count * sizeof(T), alignof(T));
	}
};

/// Always true.
template <class T, class U> constexpr bool operator==(const allocator<T> &, const allocator<U> &) noexcept
{
	return true;
}

/// Always false.
template <class T, class U> constexpr bool operator!=(const allocator<T> &, const allocator<U> &) noexcept
{
	return false;
}

#ifdef __cpp_lib_memory_resource
/**
 * @brief A resource for containers of std::pmr, and to be the upstream of other
 * resources.
 *
 * It has no state. resource() returns one that lives as long as the process.
 */
class memory_resource final : public std::pmr::memory_resource {
	/// @throw std::bad_alloc if there is no memory for this size and alignment.
	void *do_allocate(std::size_t size, std::size_t align) override
	{
		return detail::allocate(size, align);
	}

	void do_deallocate(void *block, std::size_t size, std::size_t align) override
	{
		detail::deallocate(block, size, align);
	}

	/// True for every hakmem::memory_resource; without RTTI only for this one.
	bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override
	{
#ifdef __cpp_rtti
		return dynamic_cast<const memory_resource *>(&other) != nullptr;
#else
		return this == &other;
#endif
	}
};

/**
 * @brief The resource to pass to containers.
 *
 *     std::pmr::vector<int> numbers(hakmem::resource());
 *     std::pmr::set_default_resource(hakmem::resource());
 *
 * It is never destroyed, so that static objects may use it in their destructors.
 */
inline memory_resource *resource() noexcept
{
	alignas(memory_resource) static unsigned char storage[sizeof(memory_resource)];
	static memory_resource *const made = ::new (static_cast<void *>(storage)) memory_resource;

	return made;
}
#endif

} // namespace hakmem

#endif
