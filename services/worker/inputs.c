#include "services/worker/inputs.h"

#include "common/paths.h"
#include "common/status.h"
#include "proto/codec.h"
#include "proto/input_type.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

enum { INPUTS_MAX = 64 };

static int fault(struct fault *ret_fault, int code, const char *field, const char *message, ...)
    __attribute__((format(printf, 4, 5)));

static int fault(struct fault *ret_fault, int code, const char *field, const char *message, ...)
{
    ret_fault->code = code;
    (void)snprintf(ret_fault->field, sizeof ret_fault->field, "%s", field);
    va_list args;
    va_start(args, message);
    (void)vsnprintf(ret_fault->message, sizeof ret_fault->message, message, args);
    va_end(args);
    return code;
}

static const struct gantry_input *declared(const struct node_row *row, struct slice name)
{
    for (size_t i = 0; i < row->inputs_count; i++)
        if (slice_is(name, row->inputs[i].name))
            return &row->inputs[i];
    return NULL;
}

/* Everything given must be declared: a misspelt name is an error, never ignored. */
static int check_names(const struct node_row *row, struct slice given, struct fault *ret_fault)
{
    struct reader reader;
    uint32_t pairs = 0;
    if (given.size == 0)
        return 0;
    if (codec_check(given) != 0 || !codec_map(given, &reader, &pairs))
        return fault(ret_fault, STATUS_INVALID, "", "the inputs of %s are no map", row->name);
    for (uint32_t i = 0; i < pairs; i++) {
        struct slice key, value, name;
        if (!reader_value(&reader, &key) || !reader_value(&reader, &value) ||
            !codec_str(key, &name))
            return fault(ret_fault, STATUS_INVALID, "", "names of inputs must be texts");
        if (declared(row, name))
            continue;
        char text[65];
        int shown = (int)(name.size < 64 ? name.size : 64);
        return fault(ret_fault, STATUS_INVALID, slice_copy(name, text, sizeof text) ? text : "",
                     "%s has no input %.*s", row->name, shown, (const char *)name.data);
    }
    return 0;
}

/* The value given, or the default; empty for neither. null is as good as not given. */
static struct slice value_of(const struct gantry_input *input, struct slice given)
{
    struct slice value;
    if (given.size && codec_find(given, input->name, &value) && !codec_is_nil(value))
        return value;
    return slice_make(input->fallback.data, input->fallback.size);
}

static bool is_url(struct slice path)
{
    const char *at = memmem(path.data, path.size, "://", 3);
    return at && at != path.data && !memchr(path.data, '/', (size_t)(at - (const char *)path.data));
}

/* Engines fetch what an address of such a kind names. */
static bool is_fetched(struct slice address)
{
    static const char *const kinds[] = { "http://", "https://", "minio://", "s3://" };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (address.size > strlen(kinds[i]) &&
            strncasecmp(address.data, kinds[i], strlen(kinds[i])) == 0)
            return true;
    return false;
}

static bool is_path(const struct gantry_input *input)
{
    return strcmp(input->type, "path") == 0;
}

static bool is_folder(const struct gantry_input *input)
{
    return strcmp(input->type, "folder") == 0;
}

/* A folder that is not there lacks the file as well. */
static int look_in_legacy(const char *legacy, struct slice given, bool folder_wanted,
                          char *ret_path)
{
    if (*(const char *)given.data == '/')
        return STATUS_NOT_FOUND;
    int r = paths_resolve_input(legacy, "", given, folder_wanted, ret_path);
    return r == -ENOENT || r == -ENOTDIR ? STATUS_NOT_FOUND : r;
}

static int pack_path(const struct gantry_input *input, const struct inputs_places *places,
                     struct slice value, msgpack_packer *pk, struct fault *ret_fault)
{
    struct slice given = { 0 };
    (void)codec_str(value, &given);
    int shown = given.size < 256 ? (int)given.size : 256;
    const char *name = input->name;
    if (is_path(input) && places->engine && is_fetched(given)) {
        pack_raw(pk, value);
        return 0;
    }
    if (is_url(given))
        return fault(ret_fault, STATUS_UNSUPPORTED, name,
                     "%s is an address of a kind that is not fetched: %.*s", name, shown,
                     (const char *)given.data);

    char path[PATH_MAX];
    int r = paths_resolve_input(places->folder, places->roots, given, is_folder(input), path);
    if (r == STATUS_NOT_FOUND && places->legacy)
        r = look_in_legacy(places->legacy, given, is_folder(input), path);
    if (r == 0)
        pack_text(pk, path);
    if (r == STATUS_NOT_FOUND)
        return fault(ret_fault, r, name, "%s: there is no %s %.*s", name,
                     is_folder(input) ? "folder" : "file", shown, (const char *)given.data);
    if (r == STATUS_DENIED)
        return fault(ret_fault, r, name,
                     "%s: %.*s lies outside the task's folder and storage.input_roots, or behind a "
                     "symbolic link",
                     name, shown, (const char *)given.data);
    if (r > 0)
        return fault(ret_fault, r, name, "%s: %.*s is not the path of a %s", name, shown,
                     (const char *)given.data, is_folder(input) ? "folder" : "regular file");
    if (r < 0)
        return fault(ret_fault, r, name, "%s: %.*s: %s", name, shown, (const char *)given.data,
                     strerror(-r));
    return 0;
}

static int pack_input(const struct gantry_input *input, const struct inputs_places *places,
                      struct slice value, msgpack_packer *pk, struct fault *ret_fault)
{
    const struct input_type *type = input_type_find(slice_of(input->type));
    if (!type || !type->fits(value))
        return fault(ret_fault, STATUS_INVALID, input->name, "%s must be of type %s", input->name,
                     input->type);
    pack_text(pk, input->name);
    if (is_path(input) || is_folder(input))
        return pack_path(input, places, value, pk, ret_fault);
    pack_raw(pk, value);
    return 0;
}

int inputs_resolve(const struct node_row *row, const struct inputs_places *places,
                   struct slice given, struct packed *ret_inputs, struct fault *ret_fault)
{
    int r = check_names(row, given, ret_fault);
    if (r)
        return r;
    size_t count = 0;
    for (size_t i = 0; i < row->inputs_count; i++) {
        bool there = value_of(&row->inputs[i], given).size > 0;
        if (!there && row->inputs[i].required)
            return fault(ret_fault, STATUS_INVALID, row->inputs[i].name, "%s is missing",
                         row->inputs[i].name);
        count += there;
    }
    msgpack_packer pk = packed_packer(ret_inputs);
    msgpack_pack_map(&pk, count);
    for (size_t i = 0; r == 0 && i < row->inputs_count; i++) {
        struct slice value = value_of(&row->inputs[i], given);
        if (value.size)
            r = pack_input(&row->inputs[i], places, value, &pk, ret_fault);
    }
    if (r == 0 && ret_inputs->failed)
        r = fault(ret_fault, -ENOMEM, "", "out of memory");
    return r;
}

void inputs_addresses(const struct node_row *row, struct slice given, msgpack_packer *pk)
{
    size_t count = 0;
    const char *names[INPUTS_MAX];
    for (size_t i = 0; i < row->inputs_count && count < INPUTS_MAX; i++) {
        struct slice text;
        struct slice value = value_of(&row->inputs[i], given);
        if (is_path(&row->inputs[i]) && value.size && codec_str(value, &text) && is_fetched(text))
            names[count++] = row->inputs[i].name;
    }
    msgpack_pack_array(pk, count);
    for (size_t i = 0; i < count; i++)
        pack_text(pk, names[i]);
}
