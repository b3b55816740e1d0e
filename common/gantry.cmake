# What every target of the tree shares, so that the leaves only list facts.

add_library(gantry_build INTERFACE)
target_compile_definitions(gantry_build INTERFACE _GNU_SOURCE GANTRY_VERSION="${PROJECT_VERSION}")
target_include_directories(gantry_build INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_options(gantry_build INTERFACE
    -Wall -Wextra -Wpedantic -Werror -Wconversion -Wsign-conversion -Wshadow -Wformat=2 -Wundef -Wvla
    -Wcast-qual -Wwrite-strings -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition
    -Wpointer-arith -Wnull-dereference -Wimplicit-fallthrough -Wswitch-enum -Wdouble-promotion
    -fno-omit-frame-pointer -UNDEBUG # asserts stay on in release
    $<$<C_COMPILER_ID:GNU>:-Wlogical-op -Wduplicated-cond -Wduplicated-branches -Wformat-overflow=2>)
if(GANTRY_ASAN)
    target_compile_options(gantry_build INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=all)
    target_link_options(gantry_build INTERFACE -fsanitize=address,undefined)
endif()
if(GANTRY_FUZZ) # all that a fuzzer runs tells it where it has been
    target_compile_options(gantry_build INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(GANTRY_TSAN)
    target_compile_options(gantry_build INTERFACE -fsanitize=thread)
    target_link_options(gantry_build INTERFACE -fsanitize=thread)
endif()
if(GANTRY_ANALYZE)
    # its leak check loses sight of what a table or a cleanup attribute owns; asan has every test for that
    target_compile_options(gantry_build INTERFACE -fanalyzer -Wno-analyzer-malloc-leak)
endif()
if(GANTRY_COVERAGE)
    target_compile_options(gantry_build INTERFACE --coverage)
    target_link_options(gantry_build INTERFACE --coverage)
endif()

# gantry_library(name SOURCES ... LINKS ...): a static library of ours.
function(gantry_library name)
    cmake_parse_arguments(ARG "" "" "SOURCES;LINKS" ${ARGN})
    add_library(${name} STATIC ${ARG_SOURCES})
    target_link_libraries(${name} PUBLIC ${ARG_LINKS} PRIVATE gantry_build)
endfunction()

# gantry_program(name SOURCES ... LINKS ...): a program that is installed; lands in build/bin.
function(gantry_program name)
    cmake_parse_arguments(ARG "" "" "SOURCES;LINKS" ${ARGN})
    add_executable(${name} ${ARG_SOURCES})
    target_link_libraries(${name} PRIVATE ${ARG_LINKS} gantry_build)
    install(TARGETS ${name} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endfunction()

# gantry_test(proto/message_test LABEL unit LINKS proto): tests/<label>/proto/message_test.c, a cmocka program.
function(gantry_test path)
    cmake_parse_arguments(ARG "" "LABEL" "LINKS" ${ARGN})
    string(REPLACE "/" "_" name ${path})
    add_executable(${name} ${CMAKE_SOURCE_DIR}/tests/${ARG_LABEL}/${path}.c)
    target_link_libraries(${name} PRIVATE ${ARG_LINKS} PkgConfig::CMOCKA gantry_build)
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
    add_test(NAME ${ARG_LABEL}/${path} COMMAND ${name})
    set_tests_properties(${ARG_LABEL}/${path} PROPERTIES LABELS ${ARG_LABEL} TIMEOUT 60)
endfunction()
