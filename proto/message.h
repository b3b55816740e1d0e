#pragma once
/* The bodies as structs, made from the rows of schema.h; one loop encodes and one decodes all of
 * them. */
#include "common/slice.h"
#include "proto/codec.h"
#include "proto/schema.h"

#include <msgpack.h>

#define MESSAGE_C_STR struct slice
#define MESSAGE_C_BIN struct slice
#define MESSAGE_C_RAW struct slice
#define MESSAGE_C_U32 uint32_t
#define MESSAGE_C_U64 uint64_t
#define MESSAGE_C_I64 int64_t
#define MESSAGE_C_F64 double
#define MESSAGE_C_BOOL bool

#define MESSAGE_FIELD(T, kind, name, need, most, text) MESSAGE_C_##kind name;
/* struct m_hello and so on: "wait" and "register" alone are words of C and of the system. */
#define MESSAGE_STRUCT(T, name)             \
    struct m_##name {                       \
        T##_FIELDS(MESSAGE_FIELD, m_##name) \
    };
MESSAGES(MESSAGE_STRUCT)

enum message_kind {
    MESSAGE_STR,
    MESSAGE_BIN,
    MESSAGE_RAW,
    MESSAGE_U32,
    MESSAGE_U64,
    MESSAGE_I64,
    MESSAGE_F64,
    MESSAGE_BOOL
};

struct message_field {
    const char *name;
    uint8_t name_size;
    bool required;
    enum message_kind kind;
    uint32_t most; /* bytes, of STR and BIN; 0: no bound of its own */
    uint32_t offset;
    const char *text;
};

struct message_layout {
    const char *name;
    uint32_t size;
    uint32_t count;
    const struct message_field *fields;
};

#define MESSAGE_LAYOUT(T, name) extern const struct message_layout m_##name##_layout;
MESSAGES(MESSAGE_LAYOUT)
#undef MESSAGE_LAYOUT

/* All of them, in the order of the rows; ends with NULL. */
extern const struct message_layout *const message_layouts[];

/* Reads one map (bytes passed codec_check, or lie in something that did). m is zeroed first; slices
 * in it borrow from map. 0; STATUS_MALFORMED: no map, or keys that are no strings; STATUS_INVALID:
 * a field is missing, of the wrong type or too long, and *ret_field (may be NULL) names it, static.
 */
int message_decode(const struct message_layout *layout, struct slice map, void *m,
                   const char **ret_field);
/* The same of the next value of a reader, which is behind it then, whatever it was. */
int message_next(const struct message_layout *layout, struct reader *reader, void *m,
                 const char **ret_field);
/* Writes the map; fields that are zero or empty and not required are left out. */
void message_encode(const struct message_layout *layout, const void *m, msgpack_packer *pk);

/* Texts and numbers of the rows; text answers "?" and number -1 where there is no row. */
const char *verb_text(uint32_t verb);
/* A request that waits for something to happen: nobody works at it meanwhile. */
static inline bool verb_waits(uint32_t verb)
{
    return verb == VERB_WAIT || verb == VERB_SUBSCRIBE;
}
const char *state_text(int state);
int state_by_text(struct slice text);
bool state_terminal(int state);
const char *priority_text(uint32_t priority);
int priority_by_text(struct slice text);
