#!/bin/sh
# Moves the empty *.txt files of a folder into its subfolder `empty`, and prints how many were moved.
# Usage: tidy.sh FOLDER
folder=$1
moved=0
mkdir -p $folder/empty
for file in $(ls $folder/*.txt); do
    if [ ! -s $file ]; then
        mv $file $folder/empty
        moved=$((moved + 1))
    fi
done
echo "moved $moved"
