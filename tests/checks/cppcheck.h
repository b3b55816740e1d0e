/* What cppcheck must know of libraries' headers, which it does not read. */
#define json_array_foreach(array, index, value) for (index = 0; (value = json_array_get(array, index)); index++)
#define json_object_foreach(object, key, value) for (key = next_key(object); (value = json_object_get(object, key)); key = next_key(object))
