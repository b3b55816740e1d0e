#include "common/objects/digest.h"

#include <errno.h>
#include <openssl/evp.h>

digest_t *digest_new(void)
{
    digest_t *self = EVP_MD_CTX_new();
    if (self && !EVP_DigestInit_ex(self, EVP_sha256(), NULL))
        digest_destroy(&self);
    return self;
}

void digest_destroy(digest_t **self_p)
{
    EVP_MD_CTX_free(*self_p);
    *self_p = NULL;
}

int digest_add(digest_t *self, struct slice bytes)
{
    return EVP_DigestUpdate(self, bytes.data, bytes.size) ? 0 : -ENOMEM;
}

int digest_end(digest_t *self, char ret_hex[DIGEST_HEX])
{
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    if (!EVP_DigestFinal_ex(self, bytes, &size))
        return -ENOMEM;
    digest_hex(bytes, size, ret_hex);
    return 0;
}

int digest_sha256(struct slice bytes, char ret_hex[DIGEST_HEX])
{
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    if (!EVP_Digest(bytes.data, bytes.size, hash, &size, EVP_sha256(), NULL))
        return -ENOMEM;
    digest_hex(hash, size, ret_hex);
    return 0;
}

int digest_md5(struct slice bytes, unsigned char ret_md5[DIGEST_MD5])
{
    return EVP_Digest(bytes.data, bytes.size, ret_md5, NULL, EVP_md5(), NULL) ? 0 : -ENOMEM;
}

void digest_hex(const unsigned char *bytes, size_t size, char *hex)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < size; i++) {
        hex[2 * i] = digits[bytes[i] >> 4];
        hex[2 * i + 1] = digits[bytes[i] & 15];
    }
    hex[2 * size] = '\0';
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool digest_unhex(const char *hex, unsigned char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        const int high = digit_of(hex[2 * i]);
        const int low = high < 0 ? -1 : digit_of(hex[2 * i + 1]);
        if (low < 0)
            return false;
        bytes[i] = (unsigned char)(high << 4 | low);
    }
    return true;
}
