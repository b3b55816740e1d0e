#include "services/front/multipart.h"

#include <strings.h>

#include "common/utf8.h"

/* EDGE: behind a boundary, where CR LF or -- follows. */
enum state { CONTENT, EDGE, EDGE_CR, EDGE_DASH, HEAD, AFTER, AFTER_CR, DONE, WRONG };

/* ---- the boundary ---------------------------------------------------------------------------- */

static bool is_boundary(struct slice text)
{
    static const char others[] = "'()+_,-./:=? ";
    const char *c = text.data;
    for (size_t i = 0; i < text.size; i++) {
        const char low = (char)(c[i] | 0x20);
        if ((c[i] < '0' || c[i] > '9') && (low < 'a' || low > 'z') &&
            (c[i] == '\0' || !strchr(others, c[i])))
            return false;
    }
    return text.size > 0 && text.size <= MULTIPART_BOUNDARY_MAX && c[text.size - 1] != ' ';
}

/* What follows "boundary=" among the parameters. */
static struct slice boundary_of(const char *type)
{
    const char *at = strchr(type, ';');
    while (at && strncasecmp(at + 1 + strspn(at + 1, " \t"), "boundary=", 9) != 0)
        at = strchr(at + 1, ';');
    if (!at)
        return (struct slice){ 0 };
    at += 1 + strspn(at + 1, " \t") + 9;
    if (*at == '"')
        return slice_make(at + 1, strcspn(at + 1, "\""));
    return slice_make(at, strcspn(at, "; \t"));
}

bool multipart_init(struct multipart *self, const char *content_type)
{
    const struct slice boundary = boundary_of(content_type);
    *self = (struct multipart){ .matched = 2 }; /* the first one is not led by CR LF */
    if (!is_boundary(boundary))
        return false;
    memcpy(self->mark, "\r\n--", 4);
    memcpy(self->mark + 4, boundary.data, boundary.size);
    self->mark_size = 4 + boundary.size;
    return true;
}

/* ---- what a part says of itself -------------------------------------------------------------- */

static enum multipart_event fail(struct multipart *self, const char *wrong)
{
    self->state = WRONG;
    self->wrong = wrong;
    return MULTIPART_WRONG;
}

static void skip_blanks(const char **at)
{
    *at += strspn(*at, " \t");
}

/* A token or a quoted text, into value; \" and \\ are what they stand for. */
static bool take_value(const char **at, char *value, size_t room)
{
    size_t size = 0;
    const bool quoted = **at == '"';
    const char *c = *at + (quoted ? 1 : 0);
    for (; *c && (quoted ? *c != '"' : !strchr("; \t", *c)); c++) {
        if (quoted && c[0] == '\\' && (c[1] == '"' || c[1] == '\\'))
            c++;
        if (size + 1 == room)
            return false;
        value[size++] = *c;
    }
    value[size] = '\0';
    if (quoted && *c != '"')
        return false;
    *at = c + (quoted ? 1 : 0);
    return utf8_is(slice_make(value, size));
}

/* One parameter: ; key=value. */
static bool take_parameter(struct multipart *self, const char **at)
{
    char ignored[1025];
    if (**at != ';')
        return false;
    (*at)++;
    skip_blanks(at);
    const char *key = *at;
    const size_t size = strcspn(key, "=; \t");
    if (size == 0 || key[size] != '=')
        return false;
    *at += size + 1;
    const bool name = size == 4 && strncasecmp(key, "name", 4) == 0;
    const bool filename = size == 8 && strncasecmp(key, "filename", 8) == 0;
    if (name ? *self->name : filename && *self->filename)
        return false; /* twice */
    char *value = name ? self->name : filename ? self->filename : ignored;
    if (!take_value(at, value, name ? sizeof self->name : sizeof ignored))
        return false;
    skip_blanks(at);
    return true;
}

static const char *read_disposition(struct multipart *self, const char *value)
{
    static const char wrong[] = "the body has a Content-Disposition that cannot be read";
    if (strncasecmp(value, "form-data", 9) != 0)
        return wrong;
    value += 9;
    skip_blanks(&value);
    while (*value)
        if (!take_parameter(self, &value))
            return wrong;
    return NULL;
}

static const char *read_line(struct multipart *self, char *line)
{
    char *colon = line + strcspn(line, " \t:");
    if (colon == line || *colon != ':')
        return "a part of the body has a header that is none";
    *colon = '\0';
    const char *value = colon + 1;
    skip_blanks(&value);
    if (strcasecmp(line, "Content-Disposition") == 0)
        return read_disposition(self, value);
    if (strcasecmp(line, "Content-Transfer-Encoding") == 0)
        return strcasecmp(value, "binary") == 0 || strcasecmp(value, "8bit") == 0 ||
                       strcasecmp(value, "7bit") == 0
                   ? NULL
                   : "a part of the body is encoded";
    if (strcasecmp(line, "Content-Type") == 0 &&
        !slice_copy(slice_of(value), self->type, sizeof self->type))
        return "a part of the body has a Content-Type that is too long";
    return NULL;
}

static bool is_clean(const char *line)
{
    for (const char *c = line; *c; c++)
        if (((unsigned char)*c < ' ' && *c != '\t') || *c == 0x7f)
            return false;
    return true;
}

/* head holds lines that end in CR LF, the last one empty. */
static enum multipart_event read_head(struct multipart *self)
{
    const char *wrong = NULL;
    char *line = self->head;
    self->name[0] = self->filename[0] = self->type[0] = '\0';
    while (!wrong && *line != '\r') {
        char *end = strstr(line, "\r\n");
        *end = '\0';
        wrong = is_clean(line) ? read_line(self, line)
                               : "a part of the body has a control character in its header";
        line = end + 2;
    }
    if (!wrong && !*self->name)
        wrong = "a part of the body has no name";
    if (wrong)
        return fail(self, wrong);
    self->state = CONTENT;
    return MULTIPART_PART;
}

/* ---- its ways -------------------------------------------------------------------------------- */

static bool head_ends(const struct multipart *self)
{
    const char *end = self->head + self->head_size;
    return (self->head_size == 2 && memcmp(self->head, "\r\n", 2) == 0) ||
           (self->head_size >= 4 && memcmp(end - 4, "\r\n\r\n", 4) == 0);
}

static enum multipart_event take_head(struct multipart *self, char c)
{
    if (self->head_size + 1 == MULTIPART_HEAD_MAX)
        return fail(self, "a part of the body has too long a header");
    if (c == '\0')
        return fail(self, "a part of the body has a NUL in its header");
    self->head[self->head_size++] = c;
    self->head[self->head_size] = '\0';
    return head_ends(self) ? read_head(self) : MULTIPART_MORE;
}

static enum multipart_event move(struct multipart *self, bool good, enum state to)
{
    if (!good)
        return fail(self, "the body does not go on as its boundary says");
    self->state = (int)to;
    return MULTIPART_MORE;
}

static enum multipart_event begin_head(struct multipart *self, char c)
{
    if (++self->parts > MULTIPART_PARTS_MAX)
        return fail(self, "the body has too many parts");
    self->head_size = 0;
    return move(self, c == '\n', HEAD);
}

/* A byte that is no content. */
static enum multipart_event take_byte(struct multipart *self, char c)
{
    switch ((enum state)self->state) {
    case EDGE:
        return move(self, c == '\r' || c == '-', c == '\r' ? EDGE_CR : EDGE_DASH);
    case EDGE_CR:
        return begin_head(self, c);
    case EDGE_DASH:
        return move(self, c == '-', AFTER);
    case HEAD:
        return take_head(self, c);
    case AFTER:
        return move(self, c == '\r', AFTER_CR);
    case AFTER_CR:
        return move(self, c == '\n', DONE);
    case DONE:
        return fail(self, "something follows behind the body's end");
    case CONTENT:
    case WRONG:
        break;
    }
    return MULTIPART_WRONG;
}

/* Reads as much of the mark as there is. True: it is there whole. */
static bool match(struct multipart *self, struct slice *input)
{
    const char *c = input->data;
    size_t at = 0;
    while (self->matched < self->mark_size && at < input->size &&
           c[at] == self->mark[self->matched]) {
        self->matched++;
        at++;
    }
    *input = slice_make(c + at, input->size - at);
    return self->matched == self->mark_size;
}

static enum multipart_event give(struct slice *from, size_t size, struct slice *ret_data)
{
    *ret_data = slice_make(from->data, size);
    *from = slice_make((const char *)from->data + size, from->size - size);
    return MULTIPART_DATA;
}

static enum multipart_event take_content(struct multipart *self, struct slice *input,
                                         size_t data_max, struct slice *ret_data)
{
    if (!self->owed.size && match(self, input)) {
        self->matched = 0;
        self->state = EDGE;
        return MULTIPART_MORE;
    }
    if (!self->owed.size && input->size == 0)
        return MULTIPART_MORE;
    if (self->parts == 0)
        return fail(self, "the body does not begin with its boundary");
    if (self->matched) { /* CR is its first byte only, so no other match began within */
        self->owed = slice_make(self->mark, self->matched);
        self->matched = 0;
    }
    if (self->owed.size)
        return give(&self->owed, self->owed.size < data_max ? self->owed.size : data_max, ret_data);
    const char *c = input->data;
    const char *mark = memchr(c, '\r', input->size);
    const size_t size = mark ? (size_t)(mark - c) : input->size;
    return give(input, size < data_max ? size : data_max, ret_data);
}

enum multipart_event multipart_next(struct multipart *self, struct slice *input, size_t data_max,
                                    struct slice *ret_data)
{
    enum multipart_event event = self->state == WRONG ? MULTIPART_WRONG : MULTIPART_MORE;
    while (event == MULTIPART_MORE && (input->size || self->owed.size)) {
        if (self->state == CONTENT) {
            event = take_content(self, input, data_max, ret_data);
            continue;
        }
        const char c = *(const char *)input->data;
        *input = slice_make((const char *)input->data + 1, input->size - 1);
        event = take_byte(self, c);
        if (self->state == AFTER && event == MULTIPART_MORE)
            return MULTIPART_END;
    }
    return event;
}

bool multipart_whole(const struct multipart *self)
{
    return self->state == AFTER || self->state == DONE;
}
