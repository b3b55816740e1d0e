#include "services/front/guard.h"

#include <ctype.h>
#include <strings.h>

static bool name_good(struct slice name)
{
    static const char others[] = "!#$%&'*+-.^_`|~";
    const unsigned char *c = name.data;
    for (size_t i = 0; i < name.size; i++)
        if (!c[i] || c[i] > 0x7e || (!isalnum(c[i]) && !strchr(others, c[i])))
            return false;
    return name.size > 0;
}

/* Text beyond ASCII is let through, as any server does; control characters are not. */
static bool value_good(struct slice value)
{
    const unsigned char *c = value.data;
    for (size_t i = 0; i < value.size; i++)
        if ((c[i] < ' ' && c[i] != '\t') || c[i] == 0x7f)
            return false;
    return true;
}

static bool is(struct slice text, const char *word)
{
    return text.size == strlen(word) && strncasecmp(text.data, word, text.size) == 0;
}

static struct slice trimmed(struct slice text)
{
    const char *c = text.data;
    while (text.size && (c[text.size - 1] == ' ' || c[text.size - 1] == '\t'))
        text.size--;
    return text;
}

static bool digits(struct slice text, uint64_t *ret_number)
{
    const char *c = text.data;
    uint64_t number = 0;
    if (text.size == 0 || text.size > 18)
        return false;
    for (size_t i = 0; i < text.size; i++) {
        if (c[i] < '0' || c[i] > '9')
            return false;
        number = number * 10 + (uint64_t)(c[i] - '0');
    }
    *ret_number = number;
    return true;
}

static const char *look(struct guard *self, struct slice name, struct slice value)
{
    if (++self->headers > GUARD_HEADERS_MAX)
        return "there are too many headers";
    if (!name_good(name))
        return "a header's name has a character that it may not have";
    if (!value_good(value))
        return "a header's value has a control character";
    if (is(name, "Host") && ++self->hosts > 1)
        return "there are several Host headers";
    if (is(name, "Transfer-Encoding")) {
        self->encodings++;
        self->chunked = is(trimmed(value), "chunked");
    }
    if (!is(name, "Content-Length"))
        return NULL;
    if (++self->lengths > 1)
        return "there are several Content-Length headers";
    return digits(trimmed(value), &self->length) ? NULL : "Content-Length is no number";
}

void guard_header(struct guard *self, struct slice name, struct slice value)
{
    const char *wrong = look(self, name, value);
    if (!self->wrong)
        self->wrong = wrong;
}

/* Where the text of at least so many bytes at *at ends in one NUL; false when it does not. */
static bool skip_text(struct slice *at, size_t least)
{
    const size_t size = strnlen(at->data, at->size);
    if (size < least || size == at->size)
        return false;
    *at = slice_make((const char *)at->data + size + 1, at->size - size - 1);
    return true;
}

static bool skip_nuls(struct slice *at, size_t count)
{
    const char *c = at->data;
    if (at->size < count)
        return false;
    for (size_t i = 0; i < count; i++)
        if (c[i])
            return false;
    *at = slice_make(c + count, at->size - count);
    return true;
}

/* name NUL value NUL NUL, for each header; and NUL NUL. */
static bool block_good(struct slice at, unsigned headers)
{
    if (!skip_nuls(&at, 2)) /* of the request line */
        return false;
    for (unsigned i = 0; i < headers; i++)
        if (!skip_text(&at, 1) || !skip_text(&at, 0) || !skip_nuls(&at, 1))
            return false;
    return skip_nuls(&at, 2) && at.size == 0;
}

void guard_block(struct guard *self, struct slice block)
{
    if (!self->wrong && block.size && !block_good(block, self->headers))
        self->wrong = "a header's line does not end in CR LF, is folded, or has a NUL";
}

static const char *look_at_all(const struct guard *self, const char *version)
{
    const bool old = strcmp(version, "HTTP/1.0") == 0;
    if (!old && strcmp(version, "HTTP/1.1") != 0)
        return "the version is neither HTTP/1.1 nor HTTP/1.0";
    if (!old && self->hosts == 0)
        return "there is no Host header";
    if (self->encodings && self->lengths)
        return "there are both Content-Length and Transfer-Encoding";
    if (self->encodings > 1 || (self->encodings && !self->chunked))
        return "Transfer-Encoding is not chunked";
    if (self->encodings && old)
        return "HTTP/1.0 knows no Transfer-Encoding";
    return NULL;
}

void guard_end(struct guard *self, const char *version)
{
    if (!self->wrong)
        self->wrong = look_at_all(self, version);
}
