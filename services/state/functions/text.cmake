# cmake -DFILES=a.lua,b.lua -DOUT=functions_text.c -P text.cmake
string(REPLACE "," ";" files "${FILES}")
set(hex "")
foreach(file ${files})
    file(READ ${file} part HEX)
    string(APPEND hex "${part}")
endforeach()
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
string(REGEX REPLACE "(0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,)" "\\1\n" bytes "${bytes}")
file(WRITE ${OUT} "#include \"services/state/functions/functions.h\"

const char functions_text[] = {
${bytes}0 };
const size_t functions_size = sizeof functions_text - 1;
")
