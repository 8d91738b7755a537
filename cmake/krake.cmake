# How one folder of src/ becomes one static library and one test program.

add_library(krake_options INTERFACE)
target_include_directories(krake_options INTERFACE ${PROJECT_SOURCE_DIR}/src)
target_compile_options(krake_options INTERFACE
  -Wall -Wextra -Wpedantic -Werror -Wnon-virtual-dtor -Woverloaded-virtual -Wunused-result
  -Wno-missing-field-initializers -Wno-gnu-zero-variadic-macro-arguments -g1 -fno-omit-frame-pointer
  # ccache with clang's precompiled headers
  -Xclang -fno-pch-timestamp)
target_compile_definitions(krake_options INTERFACE
  KRAKE_VERSION="${KRAKE_VERSION}"
  BOOST_ASIO_SEPARATE_COMPILATION BOOST_BEAST_SEPARATE_COMPILATION BOOST_ASIO_NO_DEPRECATED
  BOOST_ALLOW_DEPRECATED_HEADERS SPDLOG_FMT_EXTERNAL
  # Frames of coroutines come from operator new: most of ours are too large for Asio's cache of two, which then only
  # costs, and aligned_alloc is slow in jemalloc.
  BOOST_ASIO_DISABLE_AWAITABLE_FRAME_RECYCLING BOOST_ASIO_DISABLE_STD_ALIGNED_ALLOC BOOST_ASIO_DISABLE_BOOST_ALIGN)
target_link_libraries(krake_options INTERFACE Boost::headers fmt::fmt Threads::Threads)
target_link_options(krake_options INTERFACE -fuse-ld=lld)
if(KRAKE_SANITIZE)
  target_compile_options(krake_options INTERFACE -fsanitize=${KRAKE_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(krake_options INTERFACE -fsanitize=${KRAKE_SANITIZE})
endif()

# One precompiled header for all: the standard library, fmt and Asio's coroutines.
file(GENERATE OUTPUT ${CMAKE_BINARY_DIR}/pch.cc CONTENT "// carrier of the precompiled header\n")
add_library(krake_pch STATIC ${CMAKE_BINARY_DIR}/pch.cc)
target_link_libraries(krake_pch PUBLIC krake_options)
target_precompile_headers(krake_pch PRIVATE ${PROJECT_SOURCE_DIR}/cmake/pch.h)

# And one for tests, with GoogleTest.
if(KRAKE_TESTS)
  add_library(krake_test_pch STATIC ${CMAKE_BINARY_DIR}/pch.cc)
  target_link_libraries(krake_test_pch PUBLIC krake_options GTest::gtest_main GTest::gmock)
  target_precompile_headers(krake_test_pch PRIVATE ${PROJECT_SOURCE_DIR}/cmake/pch.h <gmock/gmock.h> <gtest/gtest.h>)
endif()

# krake_library(NAME [DEPS lib...] [SYSTEM lib...]): every *.cc of the current folder; *_test.cc go to NAME_test.
# DEPS are the folder's allowed arrows (tools/layers.txt says the same and is checked by make tidy).
function(krake_library name)
  cmake_parse_arguments(arg "" "" "DEPS;SYSTEM;DIRS;TEST_DEPS" ${ARGN})
  set(patterns *.cc)
  foreach(dir IN LISTS arg_DIRS)
    list(APPEND patterns ${dir}/*.cc)
  endforeach()
  file(GLOB sources CONFIGURE_DEPENDS ${patterns})
  set(tests ${sources})
  list(FILTER sources EXCLUDE REGEX "_test\\.cc$")
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  if(NOT sources)
    return()
  endif()
  add_library(${name} STATIC ${sources})
  target_link_libraries(${name} PUBLIC krake_options ${arg_DEPS} ${arg_SYSTEM})
  target_precompile_headers(${name} REUSE_FROM krake_pch)
  if(KRAKE_TESTS AND tests)
    krake_test(${name}_test ${tests} DEPS ${name} ${arg_TEST_DEPS})
  endif()
endfunction()

# krake_test(NAME sources... DEPS lib...): one GoogleTest program; its cases are listed to ctest after the build.
function(krake_test name)
  cmake_parse_arguments(arg "" "" "DEPS;LABELS" ${ARGN})
  add_executable(${name} ${arg_UNPARSED_ARGUMENTS})
  target_link_libraries(${name} PRIVATE krake_options ${arg_DEPS} GTest::gtest_main GTest::gmock)
  target_precompile_headers(${name} REUSE_FROM krake_test_pch)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/test)
  target_compile_definitions(${name} PRIVATE KRAKE_SOURCE_DIR="${PROJECT_SOURCE_DIR}" KRAKE_BINARY_DIR="${CMAKE_BINARY_DIR}")
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT 900 LABELS "${arg_LABELS}")
endfunction()

# docs/design/003: a third less CPU per create. Sanitizers bring their own allocator.
function(krake_allocate_with_jemalloc target)
  if(NOT KRAKE_SANITIZE)
    find_library(JEMALLOC jemalloc REQUIRED)
    target_link_libraries(${target} PRIVATE ${JEMALLOC})
  endif()
endfunction()
