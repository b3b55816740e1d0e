#include "services/front/front.h"

int main(int argc, char **argv)
{
    return program_main(&front_program, argc, argv);
}
