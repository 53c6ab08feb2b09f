@echo off
rem Start the web UI: find Python, make an environment, install what is missing, run webui.py.
rem
rem Values are read from webui-user.bat beside this file, if it exists:
rem   COMMANDLINE_ARGS   flags for every start
rem   PYTHON             interpreter
rem   VENV_DIR           folder of the environment, "-" for none (default: venv)
rem   TORCH_COMMAND, TORCH_INDEX_URL, INDEX_URL, REQS_FILE   see docs\decisions\0004-installing.md
cd /d "%~dp0"

rem A webui-user.bat made for A1111 ends by calling this file again; the second call does the work.
if defined WEBUI_USER_READ goto user_read
setlocal
set WEBUI_USER_READ=1
set WEBUI_ARGS=%*
if exist webui-user.bat call webui-user.bat
:user_read
if defined WEBUI_STARTED exit /b %WEBUI_STATUS%
set WEBUI_STARTED=1
set WEBUI_STATUS=1

if not defined VENV_DIR set VENV_DIR=venv
if "%VENV_DIR%"=="-" goto system_python
if exist "%VENV_DIR%\Scripts\python.exe" goto venv_ready
call :find_python
if errorlevel 1 goto finish
echo Making an environment in %VENV_DIR% with %BASE% ...
%BASE% -m venv "%VENV_DIR%"
if errorlevel 1 (
    echo The environment could not be made. Install Python from python.org with all its parts.
    goto finish
)
:venv_ready
set RUN="%VENV_DIR%\Scripts\python.exe"
goto run

:system_python
call :find_python
if errorlevel 1 goto finish
set RUN=%BASE%

:run
%RUN% -m modules.install %WEBUI_ARGS%
set WEBUI_STATUS=%ERRORLEVEL%
if not "%WEBUI_STATUS%"=="0" goto finish
%RUN% webui.py %WEBUI_ARGS%
set WEBUI_STATUS=%ERRORLEVEL%

:finish
if not "%WEBUI_STATUS%"=="0" pause
exit /b %WEBUI_STATUS%

:find_python
if not defined PYTHON goto search_python
set BASE="%PYTHON:"=%"
call :works
if not errorlevel 1 exit /b 0
echo %BASE% is not Python 3.11, 3.12 or 3.13; change PYTHON.
exit /b 1
:search_python
for %%v in ("py -3.11" "py -3.12" "py -3.13" "python") do (
    set BASE=%%~v
    call :works
    if not errorlevel 1 exit /b 0
)
echo Python 3.11, 3.12 or 3.13 is needed and was not found. Install it from python.org,
echo or name an interpreter: set PYTHON=C:\path\to\python.exe
exit /b 1

:works
%BASE% -c "import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))" >nul 2>nul
exit /b %ERRORLEVEL%
