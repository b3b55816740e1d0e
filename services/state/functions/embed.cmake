# gantry_functions: the .lua files beside this one as functions_text (see functions.h), and FUNCTIONS_VERSION.
# Configure-time part; text.cmake does the work whenever a .lua file changes.

set(functions_dir ${CMAKE_CURRENT_LIST_DIR})
file(GLOB functions_lua CONFIGURE_DEPENDS ${functions_dir}/*.lua) # GLOB sorts by name

file(STRINGS ${functions_dir}/00_library.lua functions_version REGEX "^local VERSION = [0-9]+")
string(REGEX REPLACE "^local VERSION = ([0-9]+).*" "\\1" functions_version "${functions_version}")
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${functions_dir}/00_library.lua)

set(functions_c ${CMAKE_CURRENT_BINARY_DIR}/functions_text.c)
string(REPLACE ";" "," functions_list "${functions_lua}")
add_custom_command(
    OUTPUT ${functions_c}
    COMMAND ${CMAKE_COMMAND} -DFILES=${functions_list} -DOUT=${functions_c} -P ${functions_dir}/text.cmake
    DEPENDS ${functions_lua} ${functions_dir}/text.cmake
    COMMENT "Embedding the Redis functions"
    VERBATIM)
gantry_library(gantry_functions SOURCES ${functions_c})
target_compile_definitions(gantry_functions PUBLIC FUNCTIONS_VERSION=${functions_version})
